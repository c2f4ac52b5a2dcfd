# reshoot with a Redis of its own: docker run --rm -v "$PWD:/work" reshoot run shop.csv -o out
ARG NODE=24

FROM node:${NODE}-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# No dependency needs an install script, and none is run.
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY scripts scripts
COPY src src
COPY workers workers
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM node:${NODE}-bookworm-slim
# redis-cli, for the worker's healthcheck, comes with it. tini passes signals on and buries what the program leaves behind.
RUN apt-get update \
  && apt-get install -y --no-install-recommends redis-server tini \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
RUN ln -s /app/dist/src/bin.js /usr/local/bin/reshoot
# The queue is for as long as the container lives: what lasts is in the output. Any user may write there (docker run --user).
ENV NODE_ENV=production RESHOOT_STATE_DIR=/tmp/reshoot TINI_SUBREAPER=1
USER node
WORKDIR /work
# SIGTERM makes no further call and waits for those in flight, up to 300 s each: give docker stop --time 330.
ENTRYPOINT ["tini", "--", "reshoot"]
CMD ["--help"]
