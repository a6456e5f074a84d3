# A stand-in for the official MySQL image: MariaDB, which speaks MySQL's protocol, with the same variables.
FROM debian:trixie-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends mariadb-server mariadb-client mariadb-client-compat \
 && rm -rf /var/lib/apt/lists/* /var/lib/mysql \
 && mkdir -p /var/lib/mysql /run/mysqld && chown mysql:mysql /var/lib/mysql /run/mysqld \
 && sed -i 's/^bind-address/#&/' /etc/mysql/mariadb.conf.d/50-server.cnf
COPY --chmod=755 mysql.sh /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/mysql
EXPOSE 3306
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["mysqld"]
