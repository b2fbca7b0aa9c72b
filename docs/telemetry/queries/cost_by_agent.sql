-- What each agent and model has cost in the last 90 days, and what a run of it costs in the middle.
SELECT
    Agent,
    Model,
    count() AS AgentRuns,
    sum(InputTokens) AS Input,
    sum(OutputTokens) AS Output,
    round(sum(Cost), 2) AS Dollars,
    round(quantile(0.5)(Cost), 3) AS MedianDollars
FROM otel.drover_steps
WHERE Step = 'agent.execute' AND Started >= now() - INTERVAL 90 DAY
GROUP BY Agent, Model
ORDER BY Dollars DESC, Agent, Model
