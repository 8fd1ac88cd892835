import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Every temporary folder of the suite, those of killed processes too, is made in one that goes with it. */
export function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'parley-tests-'))
  process.env.TMPDIR = folder
  return () => rmSync(folder, { recursive: true, force: true })
}
