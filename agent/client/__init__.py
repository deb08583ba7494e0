"""The service as seen from outside: calls, streams and a followed session, for front ends and scripts."""
