import { statSync } from 'node:fs'

/** What differs after every save, however a file is written; empty where there is none. */
export function fileMark(path: string): string {
  try {
    const { mtimeMs, ctimeMs, size } = statSync(path)
    return `${mtimeMs} ${ctimeMs} ${size}`
  } catch {
    // Whatever the reason, it cannot be loaded now: when it can, that is a change.
    return ''
  }
}
