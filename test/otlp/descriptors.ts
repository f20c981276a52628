import protobuf from 'protobufjs'

/**
 * The OTLP messages as far as they are read, for protobufjs's own encoder and decoder: an independent
 * second opinion. `*` repeats, `?` has presence, a leading `|` puts a field into the message's oneof.
 * https://github.com/open-telemetry/opentelemetry-proto/tree/v1.11.0/opentelemetry/proto
 */
const MESSAGES: Readonly<Record<string, string>> = {
  AnyValue:
    '|stringValue:1:string |boolValue:2:bool |intValue:3:int64 |doubleValue:4:double |arrayValue:5:ArrayValue |kvlistValue:6:KeyValueList |bytesValue:7:bytes',
  ArrayValue: '*values:1:AnyValue',
  KeyValueList: '*values:1:KeyValue',
  KeyValue: 'key:1:string value:2:AnyValue',
  InstrumentationScope: 'name:1:string version:2:string *attributes:3:KeyValue',
  Resource: '*attributes:1:KeyValue droppedAttributesCount:2:uint32',
  logs: '*resourceLogs:1:ResourceLogs',
  ResourceLogs: 'resource:1:Resource *scopeLogs:2:ScopeLogs schemaUrl:3:string',
  ScopeLogs: 'scope:1:InstrumentationScope *logRecords:2:LogRecord schemaUrl:3:string',
  LogRecord:
    'timeUnixNano:1:fixed64 severityNumber:2:int32 severityText:3:string body:5:AnyValue *attributes:6:KeyValue droppedAttributesCount:7:uint32 flags:8:fixed32 traceId:9:bytes spanId:10:bytes observedTimeUnixNano:11:fixed64 eventName:12:string',
  traces: '*resourceSpans:1:ResourceSpans',
  ResourceSpans: 'resource:1:Resource *scopeSpans:2:ScopeSpans schemaUrl:3:string',
  ScopeSpans: 'scope:1:InstrumentationScope *spans:2:Span schemaUrl:3:string',
  Span: 'traceId:1:bytes spanId:2:bytes traceState:3:string parentSpanId:4:bytes name:5:string kind:6:int32 startTimeUnixNano:7:fixed64 endTimeUnixNano:8:fixed64 *attributes:9:KeyValue droppedAttributesCount:10:uint32 *events:11:Event flags:16:fixed32',
  Event: 'timeUnixNano:1:fixed64 name:2:string *attributes:3:KeyValue',
  metrics: '*resourceMetrics:1:ResourceMetrics',
  ResourceMetrics: 'resource:1:Resource *scopeMetrics:2:ScopeMetrics schemaUrl:3:string',
  ScopeMetrics: 'scope:1:InstrumentationScope *metrics:2:Metric schemaUrl:3:string',
  Metric:
    'name:1:string description:2:string unit:3:string |gauge:5:Gauge |sum:7:Sum |histogram:9:Histogram |exponentialHistogram:10:ExponentialHistogram |summary:11:Summary',
  Gauge: '*dataPoints:1:NumberDataPoint',
  Sum: '*dataPoints:1:NumberDataPoint aggregationTemporality:2:int32 isMonotonic:3:bool',
  Histogram: '*dataPoints:1:HistogramDataPoint aggregationTemporality:2:int32',
  ExponentialHistogram:
    '*dataPoints:1:ExponentialHistogramDataPoint aggregationTemporality:2:int32',
  Summary: '*dataPoints:1:SummaryDataPoint',
  NumberDataPoint:
    'startTimeUnixNano:2:fixed64 timeUnixNano:3:fixed64 |asDouble:4:double *exemplars:5:Exemplar |asInt:6:sfixed64 *attributes:7:KeyValue flags:8:uint32',
  HistogramDataPoint:
    'startTimeUnixNano:2:fixed64 timeUnixNano:3:fixed64 count:4:fixed64 ?sum:5:double *bucketCounts:6:fixed64 *explicitBounds:7:double *attributes:9:KeyValue flags:10:uint32 ?min:11:double ?max:12:double',
  ExponentialHistogramDataPoint:
    '*attributes:1:KeyValue startTimeUnixNano:2:fixed64 timeUnixNano:3:fixed64 count:4:fixed64 ?sum:5:double scale:6:sint32 zeroCount:7:fixed64 flags:10:uint32',
  SummaryDataPoint:
    'startTimeUnixNano:2:fixed64 timeUnixNano:3:fixed64 count:4:fixed64 sum:5:double *attributes:7:KeyValue flags:8:uint32',
  Exemplar: 'timeUnixNano:2:fixed64 |asDouble:3:double |asInt:6:sfixed64',
}

const root = protobuf.Root.fromJSON({
  nested: Object.fromEntries(
    Object.entries(MESSAGES).map(([name, fields]) => [name, describe(fields)]),
  ),
})

/** `logs`, `metrics` or `traces`: its Export…ServiceRequest. */
export function exportRequest(signal: string): protobuf.Type {
  return root.lookupType(signal)
}

/** The same OTLP JSON object through protobufjs's encoder: ids are bytes there. */
export function toProtobuf(signal: string, tree: unknown): Buffer {
  const text = JSON.stringify(tree)
  const object = JSON.parse(text, (key, value: unknown) =>
    /^(traceId|spanId|parentSpanId)$/.test(key) ? Buffer.from(String(value), 'hex') : value,
  )
  const type = exportRequest(signal)
  return Buffer.from(type.encode(type.fromObject(object)).finish())
}

function describe(text: string): protobuf.IType {
  const fields: Record<string, protobuf.IField> = {}
  const oneof: string[] = []
  const oneofs: Record<string, protobuf.IOneOf> = {}
  for (const part of text.split(' ')) {
    const [, mark, name = '', id, type = ''] = /^([*?|]?)(\w+):(\d+):(\w+)$/.exec(part) ?? []
    fields[name] = { type, id: Number(id), ...(mark === '*' && { rule: 'repeated' }) }
    if (mark === '|') oneof.push(name)
    if (mark === '?') oneofs[`_${name}`] = { oneof: [name] }
  }
  return { fields, oneofs: oneof.length > 0 ? { ...oneofs, value: { oneof } } : oneofs }
}
