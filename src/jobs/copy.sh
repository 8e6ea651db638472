# Copies the tables of the live database, and the rows of its version table, to the scratch database beside this container.
# POSIX sh and the client programs of the scratch database's own image. Everything comes from the environment, and no password
# becomes an argument of a program or a word of the log.
set -eu
umask 077
dump=${TMPDIR:-/tmp}/live.sql
trap 'rm -f "$dump" "$dump".*' EXIT

say() { printf 'alembic-operator: %s\n' "$1" >&2; }

# The last line of the log is what the pod's status tells.
fail() {
    say "$1"
    exit 1
}

# Percent-decodes $1 into $decoded.
decode() {
    decoded= rest=$1
    while :; do
        case $rest in
        *%[0-9A-Fa-f][0-9A-Fa-f]*) ;;
        *) break ;;
        esac
        before=${rest%%%*} after=${rest#*%}
        case $after in
        [0-9A-Fa-f][0-9A-Fa-f]*)
            tail=${after#??} digits=${after%"${after#??}"}
            # The x keeps a line break, which a substitution would cut off.
            byte=$(printf "\\$(printf '%03o' "$((0x$digits))")x")
            decoded=$decoded$before${byte%x} rest=$tail
            ;;
        *) decoded=$decoded$before% rest=$after ;;
        esac
    done
    decoded=$decoded$rest
}

# Leaves $1 in $trimmed, without blanks and line breaks around it.
trim() {
    edge=${1%%[![:space:]]*} trimmed=${1#"$edge"}
    edge=${trimmed##*[![:space:]]} trimmed=${trimmed%"$edge"}
}

# Takes $1, hosts with commas between them, apart into $names and $ports, each with a comma behind it. The last port that
# was seen stays in $last.
hosts_of() {
    names='' ports='' left=$1,
    while [ -n "$left" ]; do
        one=${left%%,*} left=${left#*,} number=''
        case $one in
        \[*\]*) number=${one##*\]} one=${one#\[} one=${one%%\]*} number=${number#:} ;;
        # A path may hold anything, and only an address of IPv6 more than one colon.
        /* | *:*:*) ;;
        *:*) number=${one#*:} one=${one%%:*} ;;
        esac
        last=${number:-$last} names=$names$one, ports=$ports$number,
    done
}

# Takes a URL apart as SQLAlchemy and the operator do (tests/fixtures/urls.json): a user may hold @, a password everything
# but @, and what stands in the query counts more. What is not understood is not repeated, as it may be a part of the password.
if [ -n "${LIVE_URL:-}" ]; then
    trim "$LIVE_URL"
    case $trimmed in \"*\" | \'*\') trimmed=${trimmed#?} && trim "${trimmed%?}" ;; esac
    url=$trimmed
    case $url in *://*) ;; *) fail "the URL of the live database is malformed" ;; esac
    case ${url%%://*} in '' | *[!A-Za-z0-9_+]*) fail "the URL of the live database is malformed" ;; esac
    url=${url#*://} LIVE_USER='' LIVE_PASSWORD='' LIVE_HOST='' LIVE_PORT='' query='' last='' given_hosts='' given_ports=''
    head=${url%%[:/]*}
    behind=${url#"$head"}
    case $behind in
    :*@*)
        url=${behind#*@} behind=${behind#:}
        decode "${behind%%@*}"
        LIVE_PASSWORD=$decoded
        decode "$head"
        LIVE_USER=$decoded
        ;;
    *)
        case $head in *@*)
            decode "${head%@*}"
            LIVE_USER=$decoded url=${head##*@}$behind
            ;;
        esac
        ;;
    esac
    hosts=${url%%[/?]*} url=${url#"${url%%[/?]*}"}
    case $hosts in *@*) fail "the URL of the live database has no host, or a password with an @ that is not percent-encoded" ;; esac
    case $url in *\?*) query=${url#*\?} url=${url%%\?*} ;; esac
    decode "${url#/}"
    LIVE_NAME=$decoded
    while [ -n "$query" ]; do
        pair=${query%%&*}
        case $query in *\&*) query=${query#*&} ;; *) query='' ;; esac
        decode "$(printf '%s' "${pair#*=}" | tr + ' ')"
        case $pair in
        host=*) given_hosts=$given_hosts${given_hosts:+,}$decoded ;;
        port=*) given_ports=$given_ports$decoded, ;;
        user=*) LIVE_USER=$decoded ;;
        password=* | passwd=*) LIVE_PASSWORD=$decoded ;;
        dbname=* | database=* | db=*) LIVE_NAME=$decoded ;;
        target_session_attrs=*) export PGTARGETSESSIONATTRS="$decoded" ;;
        options=*) export PGOPTIONS="$decoded" ;;
        requiressl=1) export PGSSLMODE="${PGSSLMODE:-require}" ;;
        sslmode=* | ssl=* | ssl_mode=*)
            case $(printf '%s' "$decoded" | tr 'A-Z_' 'a-z-') in
            disable | disabled | false | 0) export PGSSLMODE=disable ;;
            allow) export PGSSLMODE=allow ;;
            prefer | preferred) export PGSSLMODE=prefer ;;
            require | required | true | 1) export PGSSLMODE=require ;;
            verify-ca) export PGSSLMODE=verify-ca ;;
            verify-full | verify-identity) export PGSSLMODE=verify-full ;;
            *) fail "the URL of the live database has an sslmode that is not known" ;;
            esac
            ;;
        esac
    done
    case $DIALECT in postgresql) every=5432 ;; *) every=3306 ;; esac
    hosts_of "$hosts"
    # To SQLAlchemy, the one port behind several hosts is that of each; and so is the only one in the query.
    every=${last:-$every} only=''
    [ -z "$given_hosts" ] || hosts_of "$given_hosts"
    case $given_ports in *,*,*) ;; *) only=${given_ports%,} ;; esac
    while [ -n "$names" ]; do
        number=${only:-${given_ports%%,*}} given_ports=${given_ports#*,}
        number=${number:-${ports%%,*}} ports=${ports#*,}
        number=${number:-$every} name=${names%%,*} names=${names#*,}
        [ -n "$name" ] || fail "the URL of the live database has no host"
        case $number in *[!0-9]* | 0 | ??????*) fail "the URL of the live database has a port that is not a number" ;; esac
        [ "$number" -le 65535 ] || fail "the URL of the live database has a port that is not a number"
        LIVE_HOST=$LIVE_HOST${LIVE_HOST:+,}$name LIVE_PORT=$LIVE_PORT${LIVE_PORT:+,}$number
    done
    [ -n "$LIVE_USER" ] || fail "the URL of the live database has no user"
    [ -n "$LIVE_NAME" ] || fail "the URL of the live database has no database name"
fi
unset LIVE_URL

# The server beside this container may still be starting; on its socket the official images answer too early.
await() {
    tries=0
    until "$@" > /dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 180 ] || fail "the scratch database did not start, or another server listens at its place"
        sleep 1
    done
}

# Something of the user's own pod template may listen there. Nothing is written to a server that does not say $1.
check_mark() {
    [ -z "${SCRATCH_MARK:-}" ] || [ "$1" = "$SCRATCH_MARK" ] || fail "another server listens at the place of the scratch database"
}

unread() { fail "the schema could not be read from the live database"; }
unwritten() { fail "the schema could not be written to the scratch database"; }

quoted_identifier() { printf '"%s"' "$(printf '%s' "$1" | sed 's/"/""/g')"; }

copy_postgresql() {
    export PGCLIENTENCODING=UTF8
    on_scratch() { PGPASSWORD=$SCRATCH_PASSWORD PGSSLMODE=disable PGOPTIONS='' psql -XAtqw -v ON_ERROR_STOP=1 -h "$SCRATCH_HOST" -p "$SCRATCH_PORT" -U "$SCRATCH_USER" "$@"; }
    on_live() {
        program=$1
        shift
        PGPASSWORD=$LIVE_PASSWORD PGHOST=$LIVE_HOST PGPORT=${LIVE_PORT:-5432} PGUSER=$LIVE_USER PGDATABASE=$LIVE_NAME PGCONNECT_TIMEOUT=30 "$program" -w "$@"
    }
    ask_live() { on_live psql -XAtq -v ON_ERROR_STOP=1 -c "$1"; }
    dump_live() { on_live pg_dump --no-owner --no-privileges --lock-wait-timeout=30s "$@"; }

    # The passwords of foreign servers stay out: what is rehearsed must not reach another server.
    dump_live --schema-only --no-subscriptions --no-publications -Fc > "$dump.all" || unread
    pg_restore -l "$dump.all" > "$dump.list" || unread
    sed '/^[0-9]*; [0-9]* [0-9]* USER MAPPING /d' "$dump.list" > "$dump.kept"
    pg_restore --no-owner -L "$dump.kept" -f "$dump" "$dump.all" || unread
    if [ -n "$VERSION_TABLE" ]; then
        table=$(quoted_identifier "$VERSION_TABLE")
        [ -z "${VERSION_SCHEMA:-}" ] || table=$(quoted_identifier "$VERSION_SCHEMA").$table
        dump_live --data-only --table="$table" > "$dump.rows" || unread
    fi
    # The names that policies and the application's statements give rights to; none of these roles can log in. What this
    # prints is run, so no function of the application's may stand in for the server's own.
    ask_live "SET search_path = pg_catalog; SELECT format('DO %L;', format('BEGIN CREATE ROLE %I; EXCEPTION WHEN duplicate_object THEN NULL; END', rolname))
        FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_'" > "$dump.roles" || unread
    path=$(ask_live "SELECT replace(current_setting('search_path'), '\"\$user\"', quote_ident(current_user))") || unread
    public=$(ask_live "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'public'") || unread

    await on_scratch -d template1 -c 'SELECT 1'
    mark=$(on_scratch -d template1 -c 'SHOW cluster_name') || unwritten
    check_mark "$mark"
    # Some images fill the database. A worker of an extension may be connected to it again at once.
    tries=0
    until on_scratch -d template1 -v name="$SCRATCH_NAME" > /dev/null << 'END'; do
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :'name';
DROP DATABASE IF EXISTS :"name";
CREATE DATABASE :"name" TEMPLATE template0;
END
        tries=$((tries + 1))
        [ "$tries" -lt 5 ] || unwritten
        sleep 1
    done
    # No dump makes or drops the schema public.
    [ -n "$public" ] || on_scratch -d "$SCRATCH_NAME" -c 'DROP SCHEMA public' || unwritten
    on_scratch -d "$SCRATCH_NAME" -f "$dump.roles" || unwritten
    on_scratch -d "$SCRATCH_NAME" -f "$dump" > /dev/null || unwritten
    [ -z "$VERSION_TABLE" ] || on_scratch -d "$SCRATCH_NAME" -f "$dump.rows" > /dev/null || unwritten
    # Taken apart by the server alone: as a literal of ALTER ROLE it would be one name.
    on_scratch -d "$SCRATCH_NAME" -v path="$path" > /dev/null << 'END' || unwritten
SELECT set_config('search_path', :'path', false);
ALTER ROLE CURRENT_USER SET search_path FROM CURRENT;
END
}

copy_mysql() {
    client=mariadb dumper=mariadb-dump LIVE_PORT=${LIVE_PORT:-3306}
    command -v "$client" > /dev/null || client=mysql
    command -v "$dumper" > /dev/null || dumper=mysqldump
    # MariaDB's clients from 11.4 on verify certificates unless they are told not to; a TLS that nobody asked for need not hold.
    unverified='' live=''
    case $("$dumper" --version) in
    *MariaDB*)
        case $("$dumper" --no-defaults --help) in *ssl-verify-server-cert*) unverified=--skip-ssl-verify-server-cert live=${LIVE_CA:+--ssl-verify-server-cert} ;; esac
        live=${live:-$unverified}
        ;;
    *) live="--set-gtid-purged=OFF ${LIVE_CA:+--ssl-mode=VERIFY_IDENTITY}" ;;
    esac
    # shellcheck disable=SC2086 # words without anything that could be split further
    on_scratch() { MYSQL_PWD=$SCRATCH_PASSWORD "$client" --no-defaults $unverified --host="$SCRATCH_HOST" --port="$SCRATCH_PORT" --protocol=tcp --user="$SCRATCH_USER" \
        --database="$SCRATCH_NAME" --batch --skip-column-names "$@"; }
    # shellcheck disable=SC2086
    dump_live() { MYSQL_PWD=$LIVE_PASSWORD "$dumper" --no-defaults $live ${LIVE_CA:+"--ssl-ca=$LIVE_CA"} --host="${LIVE_HOST%%,*}" --port="${LIVE_PORT%%,*}" --protocol=tcp --user="$LIVE_USER" \
        --single-transaction --skip-lock-tables --no-tablespaces "$@"; }

    # Without the events, which would run on the scratch database.
    dump_live --no-data --routines --triggers -- "$LIVE_NAME" > "$dump" || unread
    if LC_ALL=C grep -Eq "^\) ENGINE=((FEDERATED|CONNECT|SPIDER)( |;|\$)|.* CONNECTION=')" "$dump"; then
        fail "the live database has a table whose rows are on another server, which a rehearsal would write to"
    fi
    [ -z "$VERSION_TABLE" ] || dump_live --no-create-info --skip-triggers -- "${VERSION_SCHEMA:-$LIVE_NAME}" "$VERSION_TABLE" > "$dump.rows" || unread

    await on_scratch --execute='SELECT 1'
    mark=$(on_scratch --execute='SELECT @@report_host') || unwritten
    check_mark "$mark"
    # Views and routines whose definer is not on this server could not be used.
    LC_ALL=C sed 's/DEFINER=`[^`]*\(``[^`]*\)*`\(@`[^`]*\(``[^`]*\)*`\)\{0,1\}//' "$dump" | on_scratch || unwritten
    [ -z "$VERSION_TABLE" ] || on_scratch < "$dump.rows" || unwritten
}

say "copying the schema of the live database"
case $DIALECT in
postgresql) copy_postgresql ;;
*) copy_mysql ;;
esac
say "copied"
