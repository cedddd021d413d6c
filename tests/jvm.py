"""How the JVMs of tests start: for processes of minutes."""

from __future__ import annotations

# For SPARK_SUBMIT_OPTS. The quick compiler is enough (a tenth of the time less), and there is nothing to verify in
# Spark's own classes.
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
