-- How long tasks that were ready waited for a worker, by day. Sums grow while a Drover goes on: the last
-- report of each counts. What half of the tasks, and 19 of 20, waited at most is as fine as the buckets are.
SELECT
    Day,
    Project,
    sum(Reported) AS Claims,
    round(sum(Waited) / sum(Reported), 3) AS MeanSeconds,
    sumForEach(Buckets) AS PerBucket,
    any(Bounds)[arrayFirstIndex(n -> n >= 0.5 * sum(Reported), arrayCumSum(PerBucket))] AS HalfWithin,
    any(Bounds)[arrayFirstIndex(n -> n >= 0.95 * sum(Reported), arrayCumSum(PerBucket))] AS P95Within
FROM (
    SELECT
        toDate(max(TimeUnix)) AS Day,
        ResourceAttributes['drover.project.id'] AS Project,
        argMax(Count, TimeUnix) AS Reported,
        argMax(Sum, TimeUnix) AS Waited,
        argMax(BucketCounts, TimeUnix) AS Buckets,
        any(ExplicitBounds) AS Bounds
    FROM otel.otel_metrics_histogram
    WHERE MetricName = 'drover.claim.latency' AND TimeUnix >= now() - INTERVAL 30 DAY
    GROUP BY ResourceAttributes, Attributes, StartTimeUnix
)
GROUP BY Day, Project
ORDER BY Day DESC, Project
