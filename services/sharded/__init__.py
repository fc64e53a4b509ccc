"""2015: an application tier over a sharded, replicated MariaDB cluster."""
