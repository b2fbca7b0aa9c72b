-- The tasks that needed more than one attempt in the last 30 days, and what the attempts that failed cost.
SELECT
    Project,
    Task,
    count() AS Attempts,
    countIf(Failed) AS Failures,
    argMax(State, Ended) AS LastState,
    round(sumIf(Cost, Failed), 2) AS DollarsOfFailures
FROM otel.drover_attempts
WHERE Started >= now() - INTERVAL 30 DAY
GROUP BY Project, Task
HAVING Attempts > 1
ORDER BY Attempts DESC, Task
LIMIT 50
