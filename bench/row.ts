import { median } from './statistics.ts'
import type { Stage } from './stage.ts'

export interface RowContext {
  stage: Stage
  /** How often each side is measured. */
  rounds: number
  /** Durations and counts are multiplied by this: 1, or less in the short form. */
  scale: number
}

/** One or several figures that are measured together. */
export interface Row {
  /** As `--only` takes it. */
  name: string
  measure(context: RowContext): Promise<Figure[]>
}

export interface Figure {
  name: string
  unit: string
  parley: number
  baseline?: { name: string; value: number }
  /** What is compared with the bar: Parley over its baseline, Parley less its baseline, or Parley alone. */
  compare: 'ratio' | 'difference' | 'alone'
  /** `least`: the value must be at least this. `most`: at most. */
  bar?: { is: 'least' | 'most'; limit: number; goal?: number }
  /** What each round gave, by side. */
  rounds: Record<string, readonly number[]>
  /** More that was seen, for the reader of the results. */
  facts?: Record<string, unknown>
}

/** The value that a figure is judged by. */
export function valueOf({ parley, baseline, compare }: Figure): number {
  if (compare === 'ratio') return parley / (baseline?.value ?? Number.NaN)
  return compare === 'difference' ? parley - (baseline?.value ?? Number.NaN) : parley
}

/** Whether a value keeps a limit. */
export function keeps(value: number, is: 'least' | 'most', limit: number): boolean {
  return is === 'least' ? value >= limit : value <= limit
}

/** Measures the sides in turn, round by round, so that what else the machine does hits them alike. */
export async function inTurn<K extends string, T>(
  rounds: number,
  sides: Record<K, (round: number) => Promise<T>>,
): Promise<Record<K, T[]>> {
  // The loop below fills in every key.
  const results = Object.fromEntries(Object.keys(sides).map((side) => [side, []])) as unknown as Record<
    K,
    T[]
  >
  for (let round = 0; round < rounds; round++) {
    for (const side of Object.keys(sides) as K[]) results[side].push(await sides[side](round))
  }
  return results
}

/** A figure of two sides from their rounds: the median of each. */
export function figureOf(
  input: Pick<Figure, 'name' | 'unit' | 'compare' | 'bar' | 'facts'> & {
    parley: readonly number[]
    baseline: { name: string; values: readonly number[] }
  },
): Figure {
  const { parley, baseline, ...rest } = input
  return {
    ...rest,
    parley: median(parley),
    baseline: { name: baseline.name, value: median(baseline.values) },
    rounds: { parley, baseline: baseline.values },
  }
}
