# Stand-in for composer:2, which lends its program as one file: Debian's Composer, whose parts are spread, packed into one.
FROM php:8.4-apache
RUN apt-get update \
 && apt-get install -y --no-install-recommends composer \
 && rm -rf /var/lib/apt/lists/*
RUN cp -rL /usr/share/php /tmp/composer && cp -L /usr/bin/composer /tmp/composer/start.php \
 && sed -i '1{/^#!/d}' /tmp/composer/start.php \
 && sed -i "s|__DIR__ . '/../share/php/|'/usr/share/php/|" /tmp/composer/start.php \
 && find /tmp/composer -name '*.php' -exec sed -i "s|'/usr/share/php/|'phar://composer.phar/|" {} + \
 && php -d phar.readonly=0 -r '$all = new Phar("/tmp/composer.phar"); $all->buildFromDirectory("/tmp/composer"); \
    $all->setStub("#!/usr/bin/env php\n<?php Phar::mapPhar(\"composer.phar\"); require \"phar://composer.phar/start.php\"; __HALT_COMPILER();");' \
 && chmod 755 /tmp/composer.phar && mv /tmp/composer.phar /usr/bin/composer && rm -rf /tmp/composer
CMD ["composer"]
