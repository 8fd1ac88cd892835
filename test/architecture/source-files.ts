import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')

export interface SourceFile {
  /** From the root of the repository, with forward slashes: `src/agent/loop.ts`. */
  path: string
  text: string
}

export interface Import {
  /** As written. */
  specifier: string
  /** The imported file, from the root of the repository; undefined for a package. */
  target: string | undefined
  /** `type`: erased before the program runs. `dynamic`: `import()`, or a file started by its URL. */
  kind: 'static' | 'type' | 'dynamic'
}

export function sourceFiles(folder: string): SourceFile[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .toSorted()
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
}

export function isTest(path: string): boolean {
  return path.endsWith('.test.ts')
}

// The sources are formatted: a statement starts its line, and a line of a comment starts with a star or slashes.
const statement = /^(?:import|export)\s(?:(type)\s)?(?:[^'"();]*?\sfrom\s*)?['"]([^'"]+)['"]/gm
const expression = /^(?!\s*(?:\*|\/\/)).*?\bimport\(\s*['"]([^'"]+)['"]/gm
const startedFile = /\bnew URL\(\s*['"](\.[^'"]+)['"],\s*import\.meta\.url/g

/** Every import of a file: `import`, `export … from`, `import()` and `new URL('./x.ts', import.meta.url)`. */
export function importsOf(file: SourceFile): Import[] {
  const found: Import[] = []
  const add = (specifier: string, kind: Import['kind']) =>
    found.push({ specifier, target: resolve(file.path, specifier), kind })
  for (const [, type, specifier] of file.text.matchAll(statement)) add(specifier!, type ? 'type' : 'static')
  for (const [, specifier] of file.text.matchAll(expression)) add(specifier!, 'dynamic')
  for (const [, specifier] of file.text.matchAll(startedFile)) {
    if (specifier!.endsWith('.ts')) add(specifier!, 'dynamic')
  }
  return found
}

function resolve(importer: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? posix.join(posix.dirname(importer), specifier) : undefined
}
