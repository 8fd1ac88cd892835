import { z } from 'zod'
import { tool } from '../agent/tool.ts'

const maxLength = 1000
const maxDepth = 50

/** Works out an arithmetic expression. A fault of the expression is a result that starts with `Error:`, never a throw. */
export const calculator = tool({
  name: 'calculator',
  description:
    'Evaluates an arithmetic expression and returns the number. Operators: + - * / % (remainder, or percent as in ' +
    '15% * 80), ^ or ** (power), ! (factorial), parentheses. Functions: sqrt, cbrt, abs, sign, round(x, digits), floor, ' +
    'ceil, trunc, min, max, sum, pow, hypot, exp, ln, log(x, base; default 10), log2, log10, and sin, cos, tan, asin, ' +
    'acos, atan, atan2 in radians. Constants: pi, e.',
  input: z.object({ expression: z.string().describe('For example: (1337 * 42 + sqrt(2)) / 3') }),
  effect: 'read',
  async execute({ expression }) {
    try {
      return toText(await evaluate(expression))
    } catch (error) {
      return `Error: ${toMessage(error)}`
    }
  },
})

/** A fault in the expression, told so that a model can mend it. */
class ExpressionError extends Error {}

async function evaluate(expression: string): Promise<unknown> {
  if (expression.length > maxLength)
    throw new ExpressionError(`the expression is longer than ${maxLength} characters`)
  const text = normalise(expression)
  if (text === '') throw new ExpressionError('the expression is empty')
  const stranger = /[^\w\s.,+\-*/%^!()]/u.exec(text)
  if (stranger) throw new ExpressionError(`unexpected ${JSON.stringify(stranger[0])}`)
  checkDepth(text)
  const parser = await loadParser()
  // Names are looked up here last; an object without a prototype has none.
  return parser.parse(text).evaluate(Object.create(null) as Record<string, never>)
}

/** How people write it → how the parser reads it. */
function normalise(expression: string): string {
  let text = expression
    .trim()
    .toLowerCase()
    .replaceAll('**', '^')
    .replaceAll(/[×∙•·]/g, '*')
    .replaceAll('÷', '/')
    .replaceAll('−', '-')
    .replaceAll('π', ' pi ')
    .replace(/\s*=\s*\??$/, '')
  // A percentage: a number with % before anything that is no operand, and "5% - 3", where the spaces tell.
  text = text.replaceAll(/(\d+(?:\.\d*)?|\.\d+)\s*%(?=\s*(?:$|[*/^)!,%]|of\b)|\s+[+-]\s)/g, '($1/100)')
  text = text.replaceAll(/\)\s*of\b/g, ')*')
  // Where there is no function, a comma can only group digits.
  if (!/[a-z]\s*\(/.test(text)) text = text.replaceAll(/(?<=\d),(?=\d{3}(?!\d))/g, '')
  return text
}

function checkDepth(text: string): void {
  let depth = 0
  for (const character of text) {
    if (character === '(') depth++
    else if (character === ')') depth--
    if (depth > maxDepth) throw new ExpressionError(`parentheses are nested more than ${maxDepth} deep`)
  }
}

type Calculate = (...values: number[]) => number

const prefixOperators: Record<string, Calculate> = {
  '-': (value) => -Number(value),
  '+': Number,
  ...pickMath('sqrt', 'cbrt', 'abs', 'sign', 'floor', 'ceil', 'trunc', 'exp', 'log2', 'log10'),
  ...pickMath('sin', 'cos', 'tan', 'asin', 'acos', 'atan', 'sinh', 'cosh', 'tanh'),
  ln: Math.log,
}

const functions: Record<string, Calculate> = {
  ...pickMath('min', 'max', 'pow', 'hypot', 'atan2'),
  sum: (...values) => values.reduce((sum, value) => sum + value, 0),
  log: (value = NaN, base) => (base === undefined ? Math.log10(value) : Math.log(value) / Math.log(base)),
  round: (value = NaN, digits = 0) =>
    digits === 0 ? Math.round(value) : shift(Math.round(shift(value, digits)), -digits),
}

/** Moves the decimal point in the digits as they are written: 1.005 by 2 is 100.5, where a product would be below. */
function shift(value: number, places: number): number {
  const [digits, exponent = '0'] = String(value).split('e')
  return Number(`${digits}e${Number(exponent) + places}`)
}

function pickMath<Name extends 'sqrt' | 'min' | keyof Math>(...names: Name[]): Record<string, Calculate> {
  return Object.fromEntries(names.map((name) => [name, Math[name] as Calculate]))
}

type Parser = InstanceType<(typeof import('expr-eval-fork'))['Parser']>
let loaded: Promise<Parser> | undefined

/** Loaded on first use, so that a start does not pay for it. */
function loadParser(): Promise<Parser> {
  loaded ??= import('expr-eval-fork').then(({ Parser }) => {
    const parser = new Parser({
      allowMemberAccess: false,
      operators: {
        assignment: false,
        fndef: false,
        comparison: false,
        concatenate: false,
        conditional: false,
        logical: false,
        in: false,
      },
    })
    const factorial = parser.unaryOps['!'] as Calculate
    // The parser asks with `in`: tables without a prototype know no `constructor` and no `toString`.
    parser.consts = bare({ pi: Math.PI, e: Math.E })
    parser.unaryOps = bare({ ...prefixOperators, '!': factorial })
    parser.functions = bare({ ...functions, fac: factorial, factorial })
    return parser
  })
  return loaded
}

function bare(table: Record<string, unknown>): Record<string, unknown> {
  return Object.assign(Object.create(null) as Record<string, unknown>, table)
}

/** At most 15 significant digits, so that 0.1 + 0.2 is 0.3; whole numbers in full as far as they are exact. */
function toText(value: unknown): string {
  if (typeof value !== 'number') throw new ExpressionError('the expression is not a number')
  if (Number.isNaN(value)) throw new ExpressionError('the result is not a real number')
  if (!Number.isFinite(value))
    throw new ExpressionError('the result is infinite: too large, or a division by zero')
  if (Number.isSafeInteger(value)) return String(value)
  const rounded = Number(value.toPrecision(15))
  return Number.isSafeInteger(rounded) || Math.abs(rounded) < 1e15 ? String(rounded) : rounded.toExponential()
}

function toMessage(error: unknown): string {
  if (error instanceof ExpressionError) return error.message
  const text = error instanceof Error ? error.message : String(error)
  for (const [pattern, message] of faults) {
    const match = pattern.exec(text)
    if (match) return message(match[1] ?? '')
  }
  return `the expression cannot be read (${text})`
}

/** The parser's words → ours. */
const faults: readonly [RegExp, (match: string) => string][] = [
  [/^undefined variable: (.*)$/, (name) => `unknown name ${JSON.stringify(name)}`],
  [/^unexpected TEOF/, () => 'the expression ends too early'],
  [/Expected EOF$/, () => 'an operator is missing; write * to multiply'],
  [/Expected \)$/, () => 'a closing parenthesis is missing'],
  [/not an allowed function/, () => 'only a function can be called; write * to multiply'],
  [/^unexpected \w+: (.*)$/, (token) => `unexpected ${JSON.stringify(token)}`],
]
