import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { root } from '../architecture/source-files.ts'
import { pages, proseOf, type Page } from './pages.ts'

/** Targets of a page's links to other files and headings of this repository. */
function linksOf(page: Page): string[] {
  return [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target!)
    .filter((target) => !/^[a-z]+:/.test(target))
}

/** As GitHub makes them of headings. */
function anchorsOf(page: Page): string[] {
  return [...proseOf(page).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

const all = pages()

function faultsOf(page: Page): string[] {
  return linksOf(page).flatMap((link) => {
    const [file, anchor] = link.split('#') as [string, string?]
    const path = join(dirname(page.path), file)
    if (file !== '' && !existsSync(join(root, path))) return [`${page.path}: ${link} is not there`]
    if (anchor === undefined) return []
    const target = file === '' ? page : all.find((one) => one.path === path)
    return target && anchorsOf(target).includes(anchor) ? [] : [`${page.path}: ${link} has no such heading`]
  })
}

test.each(all)('every link of $path within the repository leads somewhere', (page) => {
  expect(faultsOf(page)).toEqual([])
})

test('every page of docs can be reached from its index', () => {
  const index = all.find(({ path }) => path === 'docs/README.md')
  const linked = linksOf(index!).map((link) => join('docs', link.split('#')[0]!))
  const pagesOfDocs = all.map(({ path }) => path).filter((path) => /^docs\/(?:decisions\/)?[^/]+$/.test(path))
  expect(pagesOfDocs.filter((path) => path !== 'docs/README.md' && !linked.includes(path))).toEqual([])
})

describe('the checks', () => {
  const page = (text: string): Page => ({ path: 'docs/x.md', text })

  test('links to files and headings are found, in prose only', () => {
    const text = '[a](b.md#c) [d](https://example.com) ![e](f.png)\n```sh\n[g](h.md)\n```\n'
    expect(linksOf(page(text))).toEqual(['b.md#c', 'f.png'])
  })

  test('a link to nothing and a link to no heading are faults', () => {
    expect(faultsOf(page('# A heading, of `code`\n[a](#a-heading-of-code) [b](#none) [c](none.md)'))).toEqual(
      ['docs/x.md: #none has no such heading', 'docs/x.md: none.md is not there'],
    )
  })
})
