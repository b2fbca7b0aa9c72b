-- How many tasks landed in each hour of the last 7 days, and how long their merges took.
SELECT
    toStartOfHour(a.Ended) AS Hour,
    a.Project AS Project,
    uniqExact(a.SpanId) AS Landed,
    round(avg(s.Seconds), 3) AS Merge,
    round(max(s.Seconds), 3) AS LongestMerge
FROM otel.drover_attempts AS a
LEFT JOIN otel.drover_steps AS s ON s.AttemptSpanId = a.SpanId AND s.Step = 'git.merge'
WHERE a.State = 'completed' AND a.Started >= now() - INTERVAL 7 DAY
GROUP BY Hour, Project
ORDER BY Hour DESC, Project
