# Run every test: all.sh PYTEST INTEGRATION, the commands that run pytest and the tests with daemons.
#
# Tests with daemons mostly wait, and simulations only compute, in a time of their own: these run beside
# those, and get what they leave of the processor.
pytest=$1 integration=$2
code=0
SWARM_FAILURES=$(mktemp)
export SWARM_FAILURES
$pytest -n auto tests/unit || code=1

said=$(mktemp)
# Sessions share the processor as equals, whatever is nice within them; and daemons have their own.
setsid sh -c '{ echo 19 > /proc/self/autogroup; } 2> /dev/null; exec nice -n 19 "$@"' sh \
    $pytest -n auto tests/simulation > "$said" 2>&1 &
simulations=$!
trap 'kill $simulations; rm "$said" "$SWARM_FAILURES"; exit 130' INT TERM
$integration -m 'not alone' || code=1
wait $simulations || code=1
trap - INT TERM
cat "$said"
rm "$said"

$pytest -m alone tests/integration || code=1
cat "$SWARM_FAILURES"
rm "$SWARM_FAILURES"
exit $code
