-- How much of each run its workers were at work, in percent of the time that the run took.
SELECT
    r.Started AS Started,
    r.Run AS Run,
    a.Worker AS Worker,
    count() AS Attempts,
    round(sum(a.Seconds), 1) AS Busy,
    round(100 * sum(a.Seconds) / any(r.Seconds), 1) AS Percent
FROM otel.drover_runs AS r
INNER JOIN otel.drover_attempts AS a ON a.TraceId = r.TraceId
WHERE r.Started >= now() - INTERVAL 7 DAY
GROUP BY Started, Run, Worker
ORDER BY Started DESC, Worker
LIMIT 200
