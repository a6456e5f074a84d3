# Stand-in for php:8.4-apache: Apache with PHP as its module, and the settings of the original: variables of the
# container win over Debian's, the document root is /var/www/html, and the process stays in the foreground.
FROM debian:trixie-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends apache2 libapache2-mod-php8.4 php8.4-cli php8.4-curl php8.4-mbstring \
    php8.4-sqlite3 php8.4-xml curl \
 && rm -rf /var/lib/apt/lists/* \
 && sed -ri 's/^export ([^=]+)=(.*)$/: ${\1:=\2}\nexport \1/' /etc/apache2/envvars \
 && for log in error access other_vhosts_access; do ln -sf /dev/stderr /var/log/apache2/$log.log; done \
 && chmod 1777 /var/log/apache2 /var/run/apache2 \
 && mkdir -p /usr/local/etc/php \
 && ln -s /usr/lib/php/8.4/php.ini-production /usr/local/etc/php/php.ini-production \
 && printf '#!/bin/sh\nset -e\n. /etc/apache2/envvars\nrm -f "$APACHE_PID_FILE"\nexec apache2 -DFOREGROUND "$@"\n' >/usr/local/bin/apache2-foreground \
 && printf '#!/bin/sh\nexec phpenmod "$@"\n' >/usr/local/bin/docker-php-ext-enable \
 && chmod 755 /usr/local/bin/apache2-foreground /usr/local/bin/docker-php-ext-enable
ENV PHP_INI_DIR=/usr/local/etc/php
STOPSIGNAL SIGWINCH
WORKDIR /var/www/html
CMD ["apache2-foreground"]
