# In the place of postgres:18, which cannot be pulled everywhere: Debian's server, the same paths.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq \
 && mkdir -p /etc/postgresql-common \
 && echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-15 > /dev/null \
 && apt-get clean && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/* \
 && install -d -m 1777 /var/lib/postgresql
