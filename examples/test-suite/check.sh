#!/bin/sh
# Run every file of tests/ in a transaction that is rolled back. The exit status is 1 if any of them fails.
status=0
for test in tests/*.sql; do
    if psql --no-psqlrc --quiet --output=/dev/null -v ON_ERROR_STOP=1 -c BEGIN -f "$test" -c ROLLBACK; then
        echo "ok      $test"
    else
        echo "not ok  $test"
        status=1
    fi
done
exit $status
