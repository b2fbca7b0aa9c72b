-- Where attempts spend their time: the worktree, the agent, the checks, git.
SELECT
    Step,
    count() AS Times,
    round(sum(Seconds), 3) AS Total,
    round(100 * sum(Seconds) / sum(sum(Seconds)) OVER (), 1) AS Percent,
    round(quantile(0.5)(Seconds), 3) AS Median,
    round(quantile(0.95)(Seconds), 3) AS P95
FROM otel.drover_steps
WHERE Started >= now() - INTERVAL 30 DAY
GROUP BY Step
ORDER BY Total DESC
