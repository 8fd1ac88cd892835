import { keeps, valueOf, type Figure } from './row.ts'

const columns = ['figure', 'Parley', 'baseline', 'value', 'bar', 'goal', ''] as const

/** A table in Markdown, so that it can be put into a page as it is. */
export function toTable(figures: readonly Figure[]): string {
  const lines = [columns, ...figures.map(toCells)]
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)))
  const toLine = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`
  const [head = columns, ...rest] = lines
  return [toLine(head), toLine(widths.map((width) => '-'.repeat(width))), ...rest.map(toLine)].join('\n')
}

function toCells(figure: Figure): string[] {
  const { name, unit, parley, baseline, compare, bar } = figure
  const value = valueOf(figure)
  const shown = compare === 'ratio' ? `× ${format(value)}` : withUnit(value, unit)
  const sign = bar?.is === 'least' ? '≥' : '≤'
  const limit = (amount: number | undefined) =>
    amount === undefined
      ? ''
      : `${sign} ${compare === 'ratio' ? `× ${format(amount)}` : withUnit(amount, unit)}`
  return [
    name,
    withUnit(parley, unit),
    baseline ? `${withUnit(baseline.value, unit)} (${baseline.name})` : '',
    compare === 'difference' && value > 0 ? `+${shown}` : shown,
    limit(bar?.limit),
    limit(bar?.goal),
    judge(figure, value),
  ]
}

/** How a figure stands to its bar. */
export function judge({ bar }: Figure, value: number): string {
  if (!bar) return ''
  if (bar.goal !== undefined && keeps(value, bar.is, bar.goal)) return 'goal'
  return keeps(value, bar.is, bar.limit) ? 'bar' : 'missed'
}

function withUnit(value: number, unit: string): string {
  return unit === '' ? format(value) : `${format(value)} ${unit}`
}

function format(value: number): string {
  const size = Math.abs(value)
  if (size >= 1000) return Math.round(value).toLocaleString('en')
  const text = value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}
