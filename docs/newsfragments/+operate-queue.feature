Operation: "emailsys queue" lists, retries, holds, releases and drops messages, and forecasts the schedule.
