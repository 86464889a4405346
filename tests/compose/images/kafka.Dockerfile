# In the place of apache/kafka, which cannot be pulled everywhere: Debian's Java, Maven's jars.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless > /dev/null \
 && apt-get clean && rm -rf /var/lib/apt/lists/* \
 && install -d -m 0775 /var/lib/kafka/data
COPY . /opt/kafka/libs
