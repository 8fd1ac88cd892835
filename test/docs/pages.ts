import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../architecture/source-files.ts'

export interface Page {
  /** From the root of the repository: `docs/runs.md`. */
  path: string
  text: string
}

/** Every page for readers: those at the root and those under `docs`. */
export function pages(): Page[] {
  const own = readdirSync(root).filter((name) => name.endsWith('.md'))
  const docs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name))
  return [...own, ...docs].map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
}

/** The text of a page, without its code blocks. */
export function proseOf(page: Page): string {
  return page.text.replace(/^```[\s\S]*?^```$/gm, '')
}
