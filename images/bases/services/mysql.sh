#!/bin/sh
# Sets a database up at the first start, as the official image does: MYSQL_DATABASE, MYSQL_USER, MYSQL_PASSWORD.
set -eu
[ "$1" = mysqld ] || exec "$@"
if [ "$(id -u)" = 0 ]; then
  chown -R mysql:mysql /var/lib/mysql /run/mysqld
  exec setpriv --reuid=mysql --regid=mysql --init-groups "$0" "$@"
fi
if [ ! -d /var/lib/mysql/mysql ]; then
  mariadb-install-db --skip-test-db --auth-root-authentication-method=socket --auth-root-socket-user=mysql >/dev/null
  mariadbd --skip-networking --pid-file=/run/mysqld/setup.pid &
  until mariadb-admin --silent ping 2>/dev/null; do sleep 0.2; done
  # The password has letters and digits only, or the caller quotes it.
  mariadb <<SQL
create database \`$MYSQL_DATABASE\`;
create user '$MYSQL_USER'@'%' identified by '$MYSQL_PASSWORD';
grant all on \`$MYSQL_DATABASE\`.* to '$MYSQL_USER'@'%';
SQL
  mariadb-admin shutdown
  wait
fi
exec mariadbd
