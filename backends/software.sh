# What `backends/run` fetches: Debian packages by apt, jars by Maven, each as this machine has them configured. Both under a lock:
# several sets of back ends may start at once.

JAVA=
LOCK=$JARS/.lock

locked() { # COMMAND…: one at a time
  ( flock -w 900 9 || die "another installation has held $LOCK for 15 minutes"; "$@" ) 9>"$LOCK"
}
debs() { # COMMAND PACKAGE…: the packages, when the command is not there; their system services are not started
  command -v "$1" >/dev/null || locked debs_now "$@"
}
debs_now() {
  local wanted=$1 log=$RUN/apt-${1##*/}.log guard=/usr/sbin/policy-rc.d made= rc
  shift
  command -v "$wanted" >/dev/null && return
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || die "$wanted is missing: as root, apt-get install $*"
  say "installing $* by apt …"
  [ -e $guard ] || { printf '#!/bin/sh\nexit 101\n' >$guard && chmod +x $guard && made=1; }
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"; } \
    >"$log" 2>&1 </dev/null
  rc=$?
  [ -z "$made" ] || rm -f $guard
  [ $rc = 0 ] || { tail -n 8 "$log" >&2; die "apt-get install $* failed; all it said: $log"; }
}
java17() { # Cassandra 5.0 runs on 17
  local found
  found=$(compgen -G '/usr/lib/jvm/java-17-openjdk-*/bin/java' | head -1)
  [ -n "$found" ] || { java -version 2>&1 | grep -q 'version "17' && found=java; }
  if [ -z "$found" ]; then
    debs /usr/lib/jvm/java-17/bin/java openjdk-17-jre-headless || exit 1
    found=$(compgen -G '/usr/lib/jvm/java-17-openjdk-*/bin/java' | head -1)
  fi
  [ -n "$found" ] || die "no Java 17: openjdk-17-jre-headless has it"
  JAVA=$found
}
jars() { # SOFTWARE: those of pom/SOFTWARE.xml
  cmp -s "$HERE/pom/$1.xml" "$JARS/$1/.of" && return
  debs mvn maven && locked jars_now "$1"
}
jars_now() {
  local log=$RUN/maven-$1.log try
  cmp -s "$HERE/pom/$1.xml" "$JARS/$1/.of" && return
  say "$1: fetching its jars by Maven …"
  for try in 1 2; do
    rm -rf "${JARS:?}/$1"
    JAVA_HOME=$(dirname "$(dirname "$(readlink -f "$(command -v "$JAVA")")")") timeout 600 \
      mvn -B -ntp -f "$HERE/pom/$1.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
      -DoutputDirectory="$JARS/$1" >"$log" 2>&1 </dev/null && cp "$HERE/pom/$1.xml" "$JARS/$1/.of" && return
  done
  grep -m 3 ERROR "$log" >&2
  die "$1: Maven failed twice; all it said: $log"
}

install_kafka() { java17 && jars kafka; }
install_cassandra() { java17 && jars cassandra; }
install_zookeeper() { java17 && jars zookeeper; }
install_mariadb() { debs mariadbd mariadb-server-core mariadb-client-core; }
install_redis() { debs redis-server redis-server; }
