-- The runs of the last 30 days: how long each took, what came of it, and what it cost.
SELECT
    r.Started AS Started,
    r.Project AS Project,
    r.Run AS Run,
    round(any(r.Seconds), 1) AS Took,
    countIf(a.Attempt > 0) AS Attempts,
    uniqExactIf(a.Task, a.State = 'completed') AS Completed,
    countIf(a.Failed) AS Failures,
    sum(a.InputTokens + a.OutputTokens) AS Tokens,
    round(sum(a.Cost), 2) AS Dollars
FROM otel.drover_runs AS r
LEFT JOIN otel.drover_attempts AS a ON a.TraceId = r.TraceId
WHERE r.Started >= now() - INTERVAL 30 DAY
GROUP BY Started, Project, Run
ORDER BY Started DESC
LIMIT 100
