-- The tasks that took longest in the last 30 days, all their attempts together.
SELECT
    Project,
    Task,
    any(Title) AS Title,
    count() AS Attempts,
    round(sum(Seconds), 1) AS Took,
    round(max(Seconds), 1) AS LongestAttempt
FROM otel.drover_attempts
WHERE Started >= now() - INTERVAL 30 DAY
GROUP BY Project, Task
ORDER BY Took DESC, Task
LIMIT 50
