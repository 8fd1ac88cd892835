/** The runs from one back to the first it continues: columns `id` and `depth`, the nearest at 0. */
export const chain = `WITH RECURSIVE chain (id, parent, depth) AS (
  SELECT id, parent_run_id, 0 FROM runs WHERE id = ?
  UNION ALL
  SELECT runs.id, runs.parent_run_id, chain.depth + 1 FROM chain JOIN runs ON runs.id = chain.parent
)`
