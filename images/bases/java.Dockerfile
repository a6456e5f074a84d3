# Stand-in for eclipse-temurin:SERIES-jre, eclipse-temurin:SERIES-jdk and maven:3-eclipse-temurin-SERIES: Debian's OpenJDK,
# with the tools that the originals have.
FROM debian:trixie-slim
ARG PACKAGES
RUN mkdir -p /usr/share/man/man1 && apt-get update \
 && apt-get install -y --no-install-recommends $PACKAGES \
 && rm -rf /var/lib/apt/lists/*
# As the original of Maven has it.
ENV MAVEN_CONFIG=/root/.m2
CMD ["java", "-version"]
