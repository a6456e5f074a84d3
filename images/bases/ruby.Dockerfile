# Stand-in for ruby:3.3-slim: Debian's Ruby with Bundler, and the settings of the original: gems and their programs go
# to /usr/local/bundle, which any user may write.
FROM debian:trixie-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ruby3.3 ruby-dev bundler \
 && rm -rf /var/lib/apt/lists/* \
 && ln -s /usr/bin/ruby /usr/bin/bundle /usr/bin/gem /usr/local/bin/ \
 && mkdir -m 1777 -p /usr/local/bundle
ENV GEM_HOME=/usr/local/bundle BUNDLE_SILENCE_ROOT_WARNING=1 BUNDLE_APP_CONFIG=/usr/local/bundle LANG=C.UTF-8
ENV PATH=/usr/local/bundle/bin:$PATH
CMD ["irb"]
