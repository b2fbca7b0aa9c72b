-- What each epic has cost in the last 90 days; tasks without an epic stand under an empty one.
SELECT
    Project,
    Epic,
    uniqExact(Task) AS Tasks,
    count() AS AgentRuns,
    sum(InputTokens) AS Input,
    sum(OutputTokens) AS Output,
    round(sum(Cost), 2) AS Dollars
FROM otel.drover_steps
WHERE Step = 'agent.execute' AND Started >= now() - INTERVAL 90 DAY
GROUP BY Project, Epic
ORDER BY Dollars DESC, Epic
