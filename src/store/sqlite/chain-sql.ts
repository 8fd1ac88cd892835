/**
 * The runs from one back to those it continues: columns `id` and `depth`, the nearest at 0. Parameters: the run, and the
 * greatest depth. Join with CROSS JOIN: the chain is to be read first, whatever the planner thinks of its size.
 */
export const chain = `WITH RECURSIVE chain (id, parent, depth) AS (
  SELECT id, parent_run_id, 0 FROM runs WHERE id = ?
  UNION ALL
  SELECT runs.id, runs.parent_run_id, chain.depth + 1 FROM chain CROSS JOIN runs ON runs.id = chain.parent
  WHERE chain.depth < ?
)`

/** For a chain that is wanted whole. */
export const anyDepth = Number.MAX_SAFE_INTEGER
