import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { AppError } from '../../errors.ts'

/**
 * Makes the folder, and those above it, where there are none; what people tell agents is private. Throws `store_unavailable`
 * where that cannot be done. Not by `recursive`: Node tries for ever where a folder that is there takes none (`/proc`).
 */
export function makeDataFolder(path: string): void {
  try {
    makeFolder(path)
  } catch (error) {
    throw new AppError('store_unavailable', {
      message: `The data folder ${path} cannot be made.`,
      cause: error,
    })
  }
}

function makeFolder(path: string): void {
  if (isFolder(path)) return
  const parent = dirname(path)
  if (parent !== path) makeFolder(parent)
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    // Another process may have made it meanwhile.
    if (!isFolder(path)) throw error
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}
