#!/bin/sh
# Run once by the image of PostgreSQL, on an empty server: the owner of the tables, and the login of the processes.
set -eu
psql --set=ON_ERROR_STOP=1 --username=postgres \
  --set=owner_password="$DISPATCHLOG_OWNER_PASSWORD" --set=login_password="$DISPATCHLOG_LOGIN_PASSWORD" <<'SQL'
CREATE ROLE dispatchlog_app NOLOGIN;
CREATE ROLE dispatchlog_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE dispatchlog_login LOGIN PASSWORD :'login_password';
GRANT dispatchlog_app TO dispatchlog_owner, dispatchlog_login;
CREATE DATABASE dispatchlog OWNER dispatchlog_owner;
REVOKE CONNECT ON DATABASE dispatchlog FROM PUBLIC;
GRANT CONNECT ON DATABASE dispatchlog TO dispatchlog_login;
SQL
