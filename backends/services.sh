# The services of `backends/run`: how each is started, and how Stonechat is told where it is.

is_service() { case $1 in kafka | cassandra | mariadb | redis | zookeeper | kafka3 | cassandra3 | redis3) ;; *) return 1 ;; esac; }
nodes_of() { case $1 in *3) printf '%s\n' "$1-1" "$1-2" "$1-3" ;; *) echo "$1" ;; esac; } # SERVICE
host_of() { case $1 in *-[123]) echo "${HOST%.*}.1${1##*-}" ;; *) echo "$HOST" ;; esac; } # NODE
siblings() { case $1 in *-[123]) nodes_of "${1%-?}" ;; *) echo "$1" ;; esac; } # NODE: all of its service

start() { # SERVICE or NODE
  local node found
  if is_service "$1"; then found=$(nodes_of "$1"); else found=$1; fi
  for node in $found; do
    if was_wiped "$node"; then rejoin "$node"; else "launch_${node%%[3-]*}" "$node" "$(host_of "$node")" || return 1; fi
    # Cassandra lets one new node in at a time.
    case $node in cassandra3-*) [ -e "$RUN/$node.member" ] || ready "$node" ;; esac
  done
  for node in $found; do ready "$node"; done
  case $1 in redis3) form_redis3 ;; esac
}
ready() { # NODE
  local host
  host=$(host_of "$1")
  case $1 in
    kafka*) await "$1" "$host" 9092 ;;
    cassandra*)
      await "$1" "$host" 9042
      case $1 in *-[123]) touch "$DATA/$1/.joined" "$RUN/$1.member" ;; esac ;;
    mariadb) await "$1" "$host" 3306 mariadb --no-defaults -h "$host" -u root -e 'select 1' ;;
    redis*) await "$1" "$host" 6379 redis-cli -h "$host" ping ;;
    zookeeper) await "$1" "$host" 2181 bash -c 'exec 3<>"/dev/tcp/$0/2181" && printf ruok >&3 && [ "$(head -c 4 <&3)" = imok ]' "$host" ;;
  esac
}

was_wiped() { # NODE: a member of a Cassandra ring that has lost its data
  [ -e "$RUN/$1.member" ] && [ ! -e "$DATA/$1/.joined" ]
}
rejoin() { # NODE: takes its own place in the ring; the others do not answer it before they have seen it die, some 20 s
  local try
  for try in 1 2 3; do
    (launch_cassandra "$1" "$(host_of "$1")" && ready "$1") && return
    halt "$1"
    rm -rf "${DATA:?}/$1"
  done
  die "$1 could not take its place again"
}

launch_kafka() { # NODE HOST: broker and controller in one (KRaft)
  local node=$1 host=$2 id=1 data=$DATA/$1 all="" first="" sibling number replicas
  alive "$node" && return
  case $node in *-[123]) id=${node##*-} ;; esac
  replicas=$(siblings "$node" | wc -l)
  claim "$node" "$host" 9092 9093
  mkdir -p "$data"
  for sibling in $(siblings "$node"); do
    number=${sibling##*-}
    all+="$(host_of "$sibling"):9093,"
    first+="$number@$(host_of "$sibling"):9093:AAAAAAAAAAAAAAAAAAAA${number}A,"
  done
  sed -e "s|@ID@|$id|; s|@HOST@|$host|g; s|@ALL@|${all%,}|; s|@REPLICAS@|$replicas|; s|@ISR@|$(((replicas + 1) / 2))|; s|@DATA@|$data|" \
    "$HERE/conf/kafka.properties" >"$data/server.properties"
  set -- -Dlog4j2.configurationFile="$HERE/conf/log4j2.xml" -cp "$JARS/kafka/*"
  if [ ! -f "$data/log/meta.properties" ]; then
    if [ "$replicas" = 1 ]; then first=--standalone; else first="--initial-controllers ${first%,}"; fi
    # shellcheck disable=SC2086
    "$JAVA" -XX:TieredStopAtLevel=1 "$@" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c "$data/server.properties" $first \
      >"$RUN/$node.format.log" 2>&1 || { tail -n 5 "$RUN/$node.format.log" >&2; die "$node: its data folder could not be made"; }
  fi
  local heap=${KAFKA_HEAP:-512}
  spawn "$node" "$JAVA" -Xms"${heap}m" -Xmx"${heap}m" -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 "$@" \
    kafka.Kafka "$data/server.properties"
}

launch_cassandra() { # NODE HOST
  local node=$1 host=$2 data=$DATA/$1 heap seed line sibling replace=()
  alive "$node" && return
  claim "$node" "$host" 9042 7000
  heap=${CASSANDRA_HEAP:-$([ "$node" = cassandra ] && echo 1024 || echo 640)}
  seed="$(host_of "$(siblings "$node" | head -1)"):7000"
  if was_wiped "$node"; then # it copies from the others
    replace=(-Dcassandra.replace_address_first_boot="$host" -Dcassandra.ring_delay_ms=10000)
    seed=""
    for sibling in $(siblings "$node"); do [ "$sibling" = "$node" ] || seed+="$(host_of "$sibling"):7000,"; done
  fi
  case ${CASSANDRA_SYNC:=periodic} in
    periodic) line='commitlog_sync_period: 10s' ;;
    group) line="commitlog_sync_group_window: 5ms" ;;
    batch) line='' ;;
    *) die "CASSANDRA_SYNC=$CASSANDRA_SYNC: periodic, group or batch" ;;
  esac
  mkdir -p "$data"
  sed -e "s|@HOST@|$host|; s|@SEED@|${seed%,}|; s|@SYNC@|$CASSANDRA_SYNC|; s|@SYNC_LINE@|$line|; s|@MEMTABLE@|$((heap / 4))MiB|; s|@HINTS@|${CASSANDRA_HINTS:-true}|; s|@DATA@|$data|" \
    "$HERE/conf/cassandra.yaml" >"$data/cassandra.yaml"
  # No JMX: it would listen on a port of 127.0.0.1 whatever the host.
  spawn "$node" "$JAVA" @"$HERE/conf/cassandra.jvm" -Xms"${heap}m" -Xmx"${heap}m" -javaagent:"$JARS/cassandra/jamm-0.4.0.jar" \
    -Dlogback.configurationFile="$HERE/conf/logback.xml" -Dcassandra.config="file://$data/cassandra.yaml" -Dcassandra.storagedir="$data" \
    ${replace[@]+"${replace[@]}"} -cp "$JARS/cassandra/*" org.apache.cassandra.service.CassandraDaemon
}

launch_mariadb() { # NODE HOST: stands in for MySQL; user root without a password
  local node=$1 host=$2 data=$DATA/$1
  alive "$node" && return
  claim "$node" "$host" 3306
  if [ ! -f "$data/.made" ]; then
    rm -rf "$data"
    mkdir -p "$data"
    mariadb-install-db --no-defaults --user="$(id -un)" --datadir="$data" --auth-root-authentication-method=normal --skip-test-db \
      >"$RUN/$node.format.log" 2>&1 || { tail -n 5 "$RUN/$node.format.log" >&2; die "$node: its data folder could not be made"; }
    touch "$data/.made"
  fi
  # The socket's path is relative to the data folder: a long one would not do.
  spawn "$node" mariadbd --no-defaults --user="$(id -un)" --datadir="$data" --bind-address="$host" --port=3306 --socket=socket --pid-file=pid \
    --init-file="$HERE/conf/mariadb.sql" --skip-name-resolve --innodb-buffer-pool-size=128M --character-set-server=utf8mb4 --skip-log-bin \
    --max-connections=500
}

launch_redis() { # NODE HOST
  local node=$1 host=$2 cluster=()
  alive "$node" && return
  claim "$node" "$host" 6379
  mkdir -p "$DATA/$node"
  case $node in redis3-*)
    claim "$node" "$host" 16379
    cluster=(--cluster-enabled yes --cluster-config-file nodes.conf --cluster-node-timeout 2000 --cluster-announce-ip "$host") ;;
  esac
  spawn "$node" redis-server --bind "$host" --port 6379 --dir "$DATA/$node" --save '' --appendonly "${REDIS_AOF:-no}" --daemonize no \
    ${cluster[@]+"${cluster[@]}"}
}
form_redis3() { # three masters without replicas
  local host
  host=$(host_of redis3-1)
  redis-cli -h "$host" cluster info | grep -q 'cluster_state:ok' && return
  timeout 30 redis-cli --cluster create "$host:6379" "$(host_of redis3-2):6379" "$(host_of redis3-3):6379" --cluster-yes \
    >"$RUN/redis3.create.log" 2>&1 || { tail -n 5 "$RUN/redis3.create.log" | cut -c1-300 >&2; die "redis3: no cluster"; }
}

launch_zookeeper() { # NODE HOST
  local node=$1 host=$2 data=$DATA/$1
  alive "$node" && return
  claim "$node" "$host" 2181
  mkdir -p "$data"
  printf '%s\n' tickTime=1000 "dataDir=$data" clientPort=2181 "clientPortAddress=$host" admin.enableServer=false \
    4lw.commands.whitelist=ruok,srvr,mntr,stat maxClientCnxns=0 minSessionTimeout=1000 >"$data/zoo.cfg"
  spawn "$node" "$JAVA" -Xmx"${ZOOKEEPER_HEAP:-128}m" -XX:+UseSerialGC -Dlogback.configurationFile="$HERE/conf/logback.xml" \
    -cp "$JARS/zookeeper/*" org.apache.zookeeper.server.quorum.QuorumPeerMain "$data/zoo.cfg"
}

setting_of() { # SERVICE: the setting that points Stonechat at it
  local hosts="" node port=$(case $1 in kafka*) echo 9092 ;; cassandra*) echo 9042 ;; mariadb) echo 3306 ;; redis*) echo 6379 ;; *) echo 2181 ;; esac)
  for node in $(nodes_of "$1"); do hosts+="$(host_of "$node"):$port,"; done
  hosts=${hosts%,}
  case $1 in
    kafka) echo "export STONECHAT_KAFKA='kafka://$hosts?replication=1'" ;;
    kafka3) echo "export STONECHAT_KAFKA='kafka://$hosts'" ;;
    cassandra) echo "export STONECHAT_CASSANDRA='cassandra://$hosts?replication=1'" ;;
    cassandra3) echo "export STONECHAT_CASSANDRA='cassandra://$hosts'" ;;
    mariadb) echo "export STONECHAT_MYSQL='mysql://root@$hosts'" ;;
    redis*) echo "export STONECHAT_REDIS='redis://$hosts'" ;;
    zookeeper) echo "export STONECHAT_ZOOKEEPER='zookeeper://$hosts'" ;;
  esac
}
secrets() { # made once: what was sealed must stay readable
  [ -f "$DIR/secrets" ] || (
    umask 077
    {
      echo "export STONECHAT_INNER_TOKEN='$(head -c 24 /dev/urandom | base64 -w 0)'"
      echo "export STONECHAT_MASTER_KEYS='1:$(head -c 32 /dev/urandom | base64 -w 0)'"
    } >"$DIR/secrets"
  )
  cat "$DIR/secrets"
}
