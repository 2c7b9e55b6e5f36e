# Fills in who answers, then serves until it is told to stop. (As process 1 of its container it must handle the signal.)
cd /www || exit 1
/bin/busybox sed -i "s/@TITLE@/${SITE_TITLE:-It works}/; s/@INSTANCE@/${NOMAD_ALLOC_INDEX:-0}/; s/@ALLOC@/${NOMAD_SHORT_ALLOC_ID:-none}/" index.html
/bin/busybox httpd -f -p 8080 -h /www &
server=$!
trap 'kill $server; wait $server; exit 0' TERM INT
wait $server
