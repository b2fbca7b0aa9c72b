-- What each day of the last 90 has cost.
SELECT
    toDate(Started) AS Day,
    Project,
    uniqExact(Task) AS Tasks,
    sum(InputTokens + OutputTokens) AS Tokens,
    round(sum(Cost), 2) AS Dollars
FROM otel.drover_steps
WHERE Step = 'agent.execute' AND Started >= now() - INTERVAL 90 DAY
GROUP BY Day, Project
ORDER BY Day DESC, Project
