import { registerHooks } from 'node:module'
import { isAbsolute } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promptReads } from '../prompt-reads.ts'
import { fileMark } from './file-mark.ts'

/** A file this process depends on, as it was just before it was read. */
export interface LoadedFile {
  path: string
  mark: string
}

/**
 * From now on tells each module that is loaded from a file and each prompt that is read, once. So also a file that is
 * imported and not there. Packages in `node_modules` are left out.
 */
export function tellLoadedFiles(tell: (file: LoadedFile) => void): void {
  const told = new Set<string>()
  const tellOnce = (path: string) => {
    if (told.has(path) || /[\\/]node_modules[\\/]/.test(path)) return
    told.add(path)
    tell({ path, mark: fileMark(path) })
  }
  registerHooks({
    resolve(specifier, context, nextResolve) {
      try {
        const resolved = nextResolve(specifier, context)
        if (resolved.url.startsWith('file:')) tellOnce(fileURLToPath(new URL(resolved.url)))
        return resolved
      } catch (error) {
        const missing = missingFile(specifier, context.parentURL)
        if (missing !== undefined) tellOnce(missing)
        throw error
      }
    },
  })
  promptReads.subscribe((path) => tellOnce(String(path)))
}

function missingFile(specifier: string, parent: string | undefined): string | undefined {
  if (isAbsolute(specifier)) return specifier
  const url = URL.parse(specifier, /^\.{1,2}\//.test(specifier) ? parent : undefined)
  return url?.protocol === 'file:' ? fileURLToPath(url) : undefined
}
