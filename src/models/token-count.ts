/** No call of a model takes or gives so many tokens. Sums over all steps of a run stay safe integers. */
const maxTokens = 1_000_000_000

/** A count of tokens as a provider gives it. One that makes no sense is taken as absent. */
export function tokenCount(value: unknown): number | undefined {
  const isCount = typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maxTokens
  return isCount ? value : undefined
}
