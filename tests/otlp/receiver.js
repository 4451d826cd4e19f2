// An OTLP metrics receiver: gRPC and http/protobuf on free ports of the loopback. Prints one JSON line with
// its ports, then one line for each request it took. With --refuse N it answers the first N requests with an
// error, with --silent it never answers.
'use strict';
const path = require('path');
const http = require('http');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const protos = path.join(path.dirname(require.resolve('@opentelemetry/otlp-grpc-exporter-base/package.json')), 'build/protos');
const service = path.join(protos, 'opentelemetry/proto/collector/metrics/v1/metrics_service.proto');
const options = { keepCase: true, longs: String, enums: String, defaults: false, oneofs: true, includeDirs: [protos] };
const definition = loader.loadSync(service, options);
const collector = grpc.loadPackageDefinition(definition).opentelemetry.proto.collector.metrics.v1;
const decode = collector.MetricsService.service.Export.requestDeserialize;
const encode = collector.MetricsService.service.Export.responseSerialize;

const silent = process.argv.includes('--silent');
let refusals = process.argv.includes('--refuse') ? Number(process.argv[process.argv.indexOf('--refuse') + 1]) : 0;
const portAt = process.argv.indexOf('--grpc-port');
const wantedPort = portAt < 0 ? 0 : Number(process.argv[portAt + 1]);
const received = (protocol, request) => console.log(JSON.stringify({ protocol, request }));

const rpc = new grpc.Server();
rpc.addService(collector.MetricsService.service, {
  Export(call, answer) {
    if (silent) return;
    if (refusals-- > 0) return answer({ code: grpc.status.UNAVAILABLE, message: 'told to refuse' });
    received('grpc', call.request);
    answer(null, {});
  },
});

const web = http.createServer((request, response) => {
  const chunks = [];
  request.on('data', chunk => chunks.push(chunk));
  request.on('end', () => {
    if (silent) return;
    if (request.url !== '/v1/metrics' || request.headers['content-type'] !== 'application/x-protobuf') {
      response.writeHead(404).end();
      return;
    }
    if (refusals-- > 0) {
      response.writeHead(503).end();
      return;
    }
    received('http', decode(Buffer.concat(chunks)));
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end(encode({}));
  });
});

rpc.bindAsync(`127.0.0.1:${wantedPort}`, grpc.ServerCredentials.createInsecure(), (error, grpcPort) => {
  if (error) throw error;
  web.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ grpc: grpcPort, http: web.address().port })));
});
process.stdin.on('end', () => process.exit(0)).resume();
