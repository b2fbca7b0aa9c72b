-- The tables that the ClickHouse exporter of the OpenTelemetry collector writes to, and views of what Drover
-- sends, which the queries and dashboards beside this file read. Every statement may be run again.
--
-- The columns are the exporter's. It can make the tables itself, but only when the first data come: here they
-- are made before, so that the views can stand on them, and with days after which data are dropped.

CREATE DATABASE IF NOT EXISTS otel;

CREATE TABLE IF NOT EXISTS otel.otel_traces (
    Timestamp DateTime64(9) CODEC(Delta, ZSTD),
    TraceId String CODEC(ZSTD),
    SpanId String CODEC(ZSTD),
    ParentSpanId String CODEC(ZSTD),
    TraceState String CODEC(ZSTD),
    SpanName LowCardinality(String) CODEC(ZSTD),
    SpanKind LowCardinality(String) CODEC(ZSTD),
    ServiceName LowCardinality(String) CODEC(ZSTD),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD),
    ScopeName String CODEC(ZSTD),
    ScopeVersion String CODEC(ZSTD),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD),
    Duration UInt64 CODEC(ZSTD),
    StatusCode LowCardinality(String) CODEC(ZSTD),
    StatusMessage String CODEC(ZSTD),
    Events Nested (
        Timestamp DateTime64(9),
        Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD),
    Links Nested (
        TraceId String,
        SpanId String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD),
    INDEX by_trace TraceId TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toDate(Timestamp)
ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))
TTL toDateTime(Timestamp) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1;

-- From when to when a trace goes: Grafana looks here first when it is to show one by its id.
CREATE TABLE IF NOT EXISTS otel.otel_traces_trace_id_ts (
    TraceId String CODEC(ZSTD),
    Start DateTime CODEC(Delta, ZSTD),
    End DateTime CODEC(Delta, ZSTD),
    INDEX by_trace TraceId TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toDate(Start)
ORDER BY (TraceId, Start)
TTL Start + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS otel.otel_traces_trace_id_ts_mv TO otel.otel_traces_trace_id_ts AS
SELECT TraceId, min(Timestamp) AS Start, max(Timestamp) AS End
FROM otel.otel_traces
WHERE TraceId != ''
GROUP BY TraceId;

CREATE TABLE IF NOT EXISTS otel.otel_logs (
    Timestamp DateTime64(9) CODEC(Delta, ZSTD),
    TimestampTime DateTime DEFAULT toDateTime(Timestamp),
    TraceId String CODEC(ZSTD),
    SpanId String CODEC(ZSTD),
    TraceFlags UInt8,
    SeverityText LowCardinality(String) CODEC(ZSTD),
    SeverityNumber UInt8,
    ServiceName LowCardinality(String) CODEC(ZSTD),
    Body String CODEC(ZSTD),
    ResourceSchemaUrl LowCardinality(String) CODEC(ZSTD),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD),
    ScopeSchemaUrl LowCardinality(String) CODEC(ZSTD),
    ScopeName String CODEC(ZSTD),
    ScopeVersion LowCardinality(String) CODEC(ZSTD),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD),
    LogAttributes Map(LowCardinality(String), String) CODEC(ZSTD),
    INDEX by_trace TraceId TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toDate(TimestampTime)
ORDER BY (ServiceName, TimestampTime, Timestamp)
TTL TimestampTime + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS otel.otel_metrics_gauge (
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD),
    ResourceSchemaUrl String CODEC(ZSTD),
    ScopeName String CODEC(ZSTD),
    ScopeVersion String CODEC(ZSTD),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD),
    ScopeSchemaUrl String CODEC(ZSTD),
    ServiceName LowCardinality(String) CODEC(ZSTD),
    MetricName LowCardinality(String) CODEC(ZSTD),
    MetricDescription String CODEC(ZSTD),
    MetricUnit String CODEC(ZSTD),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD),
    StartTimeUnix DateTime64(9) CODEC(Delta, ZSTD),
    TimeUnix DateTime64(9) CODEC(Delta, ZSTD),
    Value Float64 CODEC(ZSTD),
    Flags UInt32 CODEC(ZSTD),
    Exemplars Nested (
        FilteredAttributes Map(LowCardinality(String), String),
        TimeUnix DateTime64(9),
        Value Float64,
        SpanId String,
        TraceId String
    ) CODEC(ZSTD)
) ENGINE = MergeTree
PARTITION BY toDate(TimeUnix)
ORDER BY (ServiceName, MetricName, Attributes, toUnixTimestamp64Nano(TimeUnix))
TTL toDateTime(TimeUnix) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS otel.otel_metrics_sum (
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD),
    ResourceSchemaUrl String CODEC(ZSTD),
    ScopeName String CODEC(ZSTD),
    ScopeVersion String CODEC(ZSTD),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD),
    ScopeSchemaUrl String CODEC(ZSTD),
    ServiceName LowCardinality(String) CODEC(ZSTD),
    MetricName LowCardinality(String) CODEC(ZSTD),
    MetricDescription String CODEC(ZSTD),
    MetricUnit String CODEC(ZSTD),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD),
    StartTimeUnix DateTime64(9) CODEC(Delta, ZSTD),
    TimeUnix DateTime64(9) CODEC(Delta, ZSTD),
    Value Float64 CODEC(ZSTD),
    Flags UInt32 CODEC(ZSTD),
    AggregationTemporality Int32 CODEC(ZSTD),
    IsMonotonic Bool CODEC(ZSTD),
    Exemplars Nested (
        FilteredAttributes Map(LowCardinality(String), String),
        TimeUnix DateTime64(9),
        Value Float64,
        SpanId String,
        TraceId String
    ) CODEC(ZSTD)
) ENGINE = MergeTree
PARTITION BY toDate(TimeUnix)
ORDER BY (ServiceName, MetricName, Attributes, toUnixTimestamp64Nano(TimeUnix))
TTL toDateTime(TimeUnix) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS otel.otel_metrics_histogram (
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD),
    ResourceSchemaUrl String CODEC(ZSTD),
    ScopeName String CODEC(ZSTD),
    ScopeVersion String CODEC(ZSTD),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD),
    ScopeSchemaUrl String CODEC(ZSTD),
    ServiceName LowCardinality(String) CODEC(ZSTD),
    MetricName LowCardinality(String) CODEC(ZSTD),
    MetricDescription String CODEC(ZSTD),
    MetricUnit String CODEC(ZSTD),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD),
    StartTimeUnix DateTime64(9) CODEC(Delta, ZSTD),
    TimeUnix DateTime64(9) CODEC(Delta, ZSTD),
    Count UInt64 CODEC(ZSTD),
    Sum Float64 CODEC(ZSTD),
    BucketCounts Array(UInt64) CODEC(ZSTD),
    ExplicitBounds Array(Float64) CODEC(ZSTD),
    Flags UInt32 CODEC(ZSTD),
    Min Float64 CODEC(ZSTD),
    Max Float64 CODEC(ZSTD),
    AggregationTemporality Int32 CODEC(ZSTD),
    Exemplars Nested (
        FilteredAttributes Map(LowCardinality(String), String),
        TimeUnix DateTime64(9),
        Value Float64,
        SpanId String,
        TraceId String
    ) CODEC(ZSTD)
) ENGINE = MergeTree
PARTITION BY toDate(TimeUnix)
ORDER BY (ServiceName, MetricName, Attributes, toUnixTimestamp64Nano(TimeUnix))
TTL toDateTime(TimeUnix) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS otel.otel_metrics_exponential_histogram (
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD),
    ResourceSchemaUrl String CODEC(ZSTD),
    ScopeName String CODEC(ZSTD),
    ScopeVersion String CODEC(ZSTD),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD),
    ScopeSchemaUrl String CODEC(ZSTD),
    ServiceName LowCardinality(String) CODEC(ZSTD),
    MetricName LowCardinality(String) CODEC(ZSTD),
    MetricDescription String CODEC(ZSTD),
    MetricUnit String CODEC(ZSTD),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD),
    StartTimeUnix DateTime64(9) CODEC(Delta, ZSTD),
    TimeUnix DateTime64(9) CODEC(Delta, ZSTD),
    Count UInt64 CODEC(ZSTD),
    Sum Float64 CODEC(ZSTD),
    Scale Int32 CODEC(ZSTD),
    ZeroCount UInt64 CODEC(ZSTD),
    PositiveOffset Int32 CODEC(ZSTD),
    PositiveBucketCounts Array(UInt64) CODEC(ZSTD),
    NegativeOffset Int32 CODEC(ZSTD),
    NegativeBucketCounts Array(UInt64) CODEC(ZSTD),
    Flags UInt32 CODEC(ZSTD),
    Min Float64 CODEC(ZSTD),
    Max Float64 CODEC(ZSTD),
    AggregationTemporality Int32 CODEC(ZSTD),
    Exemplars Nested (
        FilteredAttributes Map(LowCardinality(String), String),
        TimeUnix DateTime64(9),
        Value Float64,
        SpanId String,
        TraceId String
    ) CODEC(ZSTD)
) ENGINE = MergeTree
PARTITION BY toDate(TimeUnix)
ORDER BY (ServiceName, MetricName, Attributes, toUnixTimestamp64Nano(TimeUnix))
TTL toDateTime(TimeUnix) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS otel.otel_metrics_summary (
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD),
    ResourceSchemaUrl String CODEC(ZSTD),
    ScopeName String CODEC(ZSTD),
    ScopeVersion String CODEC(ZSTD),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD),
    ScopeSchemaUrl String CODEC(ZSTD),
    ServiceName LowCardinality(String) CODEC(ZSTD),
    MetricName LowCardinality(String) CODEC(ZSTD),
    MetricDescription String CODEC(ZSTD),
    MetricUnit String CODEC(ZSTD),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD),
    StartTimeUnix DateTime64(9) CODEC(Delta, ZSTD),
    TimeUnix DateTime64(9) CODEC(Delta, ZSTD),
    Count UInt64 CODEC(ZSTD),
    Sum Float64 CODEC(ZSTD),
    ValueAtQuantiles Nested (Quantile Float64, Value Float64) CODEC(ZSTD),
    Flags UInt32 CODEC(ZSTD)
) ENGINE = MergeTree
PARTITION BY toDate(TimeUnix)
ORDER BY (ServiceName, MetricName, Attributes, toUnixTimestamp64Nano(TimeUnix))
TTL toDateTime(TimeUnix) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1;

-- Runs that are over.
CREATE OR REPLACE VIEW otel.drover_runs AS
SELECT
    TraceId,
    Timestamp AS Started,
    Timestamp + toIntervalNanosecond(Duration) AS Ended,
    Duration / 1e9 AS Seconds,
    SpanAttributes['drover.run.id'] AS Run,
    ResourceAttributes['drover.project.id'] AS Project,
    StatusCode
FROM otel.otel_traces
WHERE SpanName = 'drover.workflow.run';

-- Attempts at tasks that are over, with what their agents used.
CREATE OR REPLACE VIEW otel.drover_attempts AS
SELECT
    a.TraceId AS TraceId,
    a.SpanId AS SpanId,
    a.Timestamp AS Started,
    a.Timestamp + toIntervalNanosecond(a.Duration) AS Ended,
    a.Duration / 1e9 AS Seconds,
    a.SpanAttributes['drover.run.id'] AS Run,
    a.ResourceAttributes['drover.project.id'] AS Project,
    a.SpanAttributes['drover.epic.id'] AS Epic,
    a.SpanAttributes['drover.task.id'] AS Task,
    a.SpanAttributes['drover.task.title'] AS Title,
    a.SpanAttributes['drover.task.state'] AS State,
    toInt32OrZero(a.SpanAttributes['drover.task.priority']) AS Priority,
    toUInt32OrZero(a.SpanAttributes['drover.task.attempt']) AS Attempt,
    a.SpanAttributes['drover.worker.id'] AS Worker,
    a.StatusCode = 'Error' AS Failed,
    a.SpanAttributes['drover.error.type'] AS ErrorType,
    a.SpanAttributes['drover.error.message'] AS ErrorMessage,
    g.InputTokens AS InputTokens,
    g.OutputTokens AS OutputTokens,
    g.Cost AS Cost
FROM otel.otel_traces AS a
LEFT JOIN (
    SELECT
        TraceId,
        ParentSpanId,
        sum(toUInt64OrZero(SpanAttributes['gen_ai.usage.input_tokens'])) AS InputTokens,
        sum(toUInt64OrZero(SpanAttributes['gen_ai.usage.output_tokens'])) AS OutputTokens,
        sum(toFloat64OrZero(SpanAttributes['drover.cost.usd'])) AS Cost
    FROM otel.otel_traces
    WHERE SpanName = 'drover.agent.execute'
    GROUP BY TraceId, ParentSpanId
) AS g ON g.TraceId = a.TraceId AND g.ParentSpanId = a.SpanId
WHERE a.SpanName = 'drover.task.execute';

-- The parts of attempts, those that are over of an attempt that goes on too. Only agents have tokens and a cost.
CREATE OR REPLACE VIEW otel.drover_steps AS
SELECT
    TraceId,
    SpanId,
    ParentSpanId AS AttemptSpanId,
    Timestamp AS Started,
    Duration / 1e9 AS Seconds,
    substring(SpanName, length('drover.') + 1) AS Step,
    StatusCode = 'Error' AS Failed,
    SpanAttributes['drover.run.id'] AS Run,
    ResourceAttributes['drover.project.id'] AS Project,
    SpanAttributes['drover.epic.id'] AS Epic,
    SpanAttributes['drover.task.id'] AS Task,
    toUInt32OrZero(SpanAttributes['drover.task.attempt']) AS Attempt,
    SpanAttributes['drover.worker.id'] AS Worker,
    SpanAttributes['drover.agent.type'] AS Agent,
    SpanAttributes['drover.agent.model'] AS Model,
    toUInt64OrZero(SpanAttributes['gen_ai.usage.input_tokens']) AS InputTokens,
    toUInt64OrZero(SpanAttributes['gen_ai.usage.output_tokens']) AS OutputTokens,
    toFloat64OrZero(SpanAttributes['drover.cost.usd']) AS Cost
FROM otel.otel_traces
WHERE SpanName IN (
    'drover.git.worktree.create',
    'drover.agent.execute',
    'drover.verify',
    'drover.git.commit',
    'drover.git.merge'
);
