import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { root } from '../architecture/source-files.ts'
import { pages } from './pages.ts'

interface Block {
  /** What stands in the comment before it: `examples/dice.ts#region`. Undefined: there is none. */
  reference: string | undefined
  code: string
}

/** The TypeScript blocks of a page. `<!-- file#region -->` on the line before says where a block is from. */
function blocksOf(text: string): Block[] {
  const pattern = /(?:^<!-- (\S+) -->\n)?^```(?:ts|tsx|typescript|js|javascript)\b.*\n([\s\S]*?)^```$/gm
  return [...text.matchAll(pattern)].map(([, reference, code]) => ({ reference, code: code! }))
}

/** A file without its region marks, or one region of it. Undefined where there is no such file or region. */
function sourceOf(reference: string): string | undefined {
  const [file, region] = reference.split('#') as [string, string?]
  const path = join(root, file)
  if (!file.startsWith('examples/') || !existsSync(path)) return undefined
  return regionOf(readFileSync(path, 'utf8'), region)
}

function regionOf(text: string, region: string | undefined): string | undefined {
  const lines = text.split('\n')
  const isMark = (line: string) => /^\s*\/\/ #(?:end)?region\b/.test(line)
  if (region === undefined) return lines.filter((line) => !isMark(line)).join('\n')
  const start = lines.indexOf(`// #region ${region}`)
  if (start === -1) return undefined
  const length = lines.slice(start + 1).findIndex(isMark)
  return length === -1 ? undefined : `${lines.slice(start + 1, start + 1 + length).join('\n')}\n`
}

const blocks = pages().flatMap((page) => blocksOf(page.text).map((block) => ({ path: page.path, ...block })))

test('there are blocks to look at', () => {
  expect(blocks.length).toBeGreaterThan(0)
})

test('every TypeScript block of a page says which example it is from', () => {
  const faults = blocks.filter(({ reference }) => reference === undefined)
  expect(faults.map(({ path, code }) => `${path}: ${code.slice(0, 60)}`)).toEqual([])
})

test.each(blocks.filter(({ reference }) => reference !== undefined))(
  '$path shows $reference as it is',
  ({ reference, code }) => {
    expect(code).toBe(sourceOf(reference!))
  },
)

describe('the checks', () => {
  test('a block without a reference is found, whatever its language is called', () => {
    const text = '```ts\na\n```\n\n<!-- examples/x.ts#y -->\n```typescript\nb\n```\n\n```sh\nc\n```\n'
    expect(blocksOf(text)).toEqual([
      { reference: undefined, code: 'a\n' },
      { reference: 'examples/x.ts#y', code: 'b\n' },
    ])
  })

  test('a region is what stands between its marks', () => {
    const text = 'a\n// #region one\nb\n// #endregion\nc\n'
    expect(regionOf(text, 'one')).toBe('b\n')
    expect(regionOf(text, undefined)).toBe('a\nb\nc\n')
    expect(regionOf(text, 'two')).toBeUndefined()
  })

  test('a file that is not there, or not an example, is nothing', () => {
    expect(sourceOf('examples/nothing.ts')).toBeUndefined()
    expect(sourceOf('src/ids.ts')).toBeUndefined()
  })
})
