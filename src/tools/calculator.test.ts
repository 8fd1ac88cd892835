import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { anonymous } from '../identity/principal.ts'
import type { ToolContext } from '../agent/definitions.ts'
import { calculator } from './calculator.ts'

const context: ToolContext = {
  signal: new AbortController().signal,
  idempotencyKey: 'key',
  principal: anonymous,
  namespace: '',
  runId: 'run_1',
  conversationId: null,
  callId: 'call_1',
  runContext: {},
  progress() {},
  ask: () => Promise.resolve({ action: 'cancel' }),
  log() {},
}

const calculate = async (expression: string) => (await calculator.execute({ expression }, context)) as string

test('is a read-only tool that takes one expression', () => {
  expect([calculator.name, calculator.effect]).toEqual(['calculator', 'read'])
  expect(calculator.parameters).toMatchObject({ required: ['expression'] })
  expect(calculator.parse({ expression: '1' }).ok).toBe(true)
  expect(calculator.parse({ expression: 1 }).ok).toBe(false)
})

test.each([
  ['1337 * 42', '56154'],
  ['2 + 3 * 4', '14'],
  ['(2 + 3) * 4', '20'],
  ['-3 + 5', '2'],
  ['2 * -3', '-6'],
  ['-2 ^ 2', '-4'],
  ['2 ^ 3 ^ 2', '512'],
  ['2 ** 10', '1024'],
  ['10 % 3', '1'],
  ['7 / 2', '3.5'],
  ['0.1 + 0.2', '0.3'],
  ['1 / 3', '0.333333333333333'],
  ['2 ^ 53 - 1', '9007199254740991'],
  ['2 ^ 64', '1.84467440737096e+19'],
  ['1e3 + 1', '1001'],
  ['5!', '120'],
  ['fac(5)', '120'],
])('%s is %s', async (expression, result) => {
  expect(await calculate(expression)).toBe(result)
})

test.each([
  ['sqrt(144)', '12'],
  ['abs(-5) + sign(-2)', '4'],
  ['round(2.567, 2)', '2.57'],
  ['round(1.005, 2)', '1.01'],
  ['round(1e21, 2)', '1e+21'],
  ['round(1234, -2)', '1200'],
  ['round(-2.5) + round(2.4)', '0'],
  ['floor(2.9) + ceil(2.1) + trunc(-2.9)', '3'],
  ['min(3, 1, 2) + max(3, 1, 2)', '4'],
  ['log(1000)', '3'],
  ['log(8, 2)', '3'],
  ['ln(e)', '1'],
  ['exp(0)', '1'],
  ['pow(2, 8)', '256'],
  ['hypot(3, 4)', '5'],
  ['sum(1, 2, 3)', '6'],
  ['sin(pi / 2) + cos(0) + tan(0)', '2'],
  ['atan2(0, 1)', '0'],
  ['PI', '3.14159265358979'],
])('knows functions and constants: %s is %s', async (expression, result) => {
  expect(await calculate(expression)).toBe(result)
})

test.each([
  ['15% * 80', '12'],
  ['20% of 50', '10'],
  ['10 / 50%', '20'],
  ['100 * 5% - 3', '2'],
  ['10 % -3', '1'],
  ['6 × 7 ÷ 2', '21'],
  ['5 − 3', '2'],
  ['2 * π', '6.28318530717959'],
  ['1,337 * 42', '56154'],
  ['1,000,000 + 1', '1000001'],
  ['1337 * 42 =', '56154'],
])('reads what people write: %s is %s', async (expression, result) => {
  expect(await calculate(expression)).toBe(result)
})

describe('faults are results that a model can read', () => {
  test.each([
    ['', 'Error: the expression is empty'],
    ['2 +', 'Error: the expression ends too early'],
    ['(1', 'Error: a closing parenthesis is missing'],
    ['2π', 'Error: an operator is missing; write * to multiply'],
    ['2(3)', 'Error: only a function can be called; write * to multiply'],
    ['2 * / 3', 'Error: unexpected "/"'],
    ['foo + 1', 'Error: unknown name "foo"'],
    ['sqrt(-1)', 'Error: the result is not a real number'],
    ['1 / 0', 'Error: the result is infinite: too large, or a division by zero'],
    ['9^9^9', 'Error: the result is infinite: too large, or a division by zero'],
    ['fac(1e9)', 'Error: the result is infinite: too large, or a division by zero'],
    ['sqrt', 'Error: the expression is not a number'],
    ['1 < 2', 'Error: unexpected "<"'],
    ['1'.repeat(1001), 'Error: the expression is longer than 1000 characters'],
    [`${'('.repeat(400)}1${')'.repeat(400)}`, 'Error: parentheses are nested more than 50 deep'],
  ])('%s', async (expression, result) => {
    expect(await calculate(expression)).toBe(result)
  })
})

describe('nothing but arithmetic can be reached', () => {
  test.each([
    'x = 5',
    'f(x) = x',
    'x = 5; x',
    '[1, 2]',
    '"a"',
    'pi.constructor',
    'constructor',
    'tostring',
    'hasownproperty',
    '__proto__',
    'valueof()',
    'sqrt.constructor("return process")()',
    'import("fs")',
    'random()',
    'map(sqrt, 1)',
    'true ? 1 : 2',
    '1 and 2',
    'length 5',
  ])('%s', async (expression) => {
    expect(await calculate(expression)).toMatch(/^Error: /)
  })

  test('a global is left as it was', async () => {
    await calculate('__proto__ = 1')
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })
})

test('answers whatever it is given, in bounded time, with a number or an error', async () => {
  const piece = fc.constantFrom(
    '9',
    '^',
    '!',
    '(',
    ')',
    '-',
    '%',
    ',',
    '1e308',
    'fac(',
    'sqrt ',
    'e',
    '.',
    ' ',
    '**',
    'max(',
    '/*',
  )
  const expression = fc.oneof(
    fc.array(piece, { maxLength: 300 }).map((pieces) => pieces.join('')),
    fc.string({ unit: 'binary', maxLength: 1000 }),
  )
  await fc.assert(
    fc.asyncProperty(expression, async (text) => {
      expect(await calculate(text)).toMatch(/^(?:Error: .|-?\d+(?:\.\d+)?(?:e[+-]\d+)?$)/s)
    }),
    { numRuns: 500 },
  )
})

test.each(['-', '+', '2^', 'sqrt ', '1+', '!', '1%'])('a long chain of %j does no harm', async (link) => {
  expect(await calculate(`${link.repeat(Math.floor(998 / link.length))}1`)).toBeTypeOf('string')
})
