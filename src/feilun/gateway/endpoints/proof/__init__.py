"""``/api`` for proof: insights, leaderboards, rollouts. Does not know how anything is found, compared or rolled out."""
