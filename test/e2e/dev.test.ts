import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { root } from '../architecture/source-files.ts'
import { createDataDir, runCli } from './cli-server.ts'
import { sendJson } from './program-process.ts'

/** An agent that is described by `words` and by its prompt. */
const moduleText = (parts: string) => `
import { agent, readPrompt } from ${JSON.stringify(join(root, 'src/index.ts'))}
${parts}
const prompt = readPrompt(new URL('./prompt.md', import.meta.url))
export default agent({ name: 'dev', description: words + ', ' + prompt, instructions: prompt })
`

/** `parley dev` on `agents.ts`, which imports `parts/words.ts` and reads `prompt.md`. */
async function startDev() {
  const folder = await createDataDir()
  onTestFinished(() => folder.remove())
  const place = (name: string) => join(folder.path, name)
  const write = (name: string, text: string) => writeFile(place(name), text)
  await mkdir(place('parts'))
  await write('package.json', '{"type":"module"}')
  await write('parts/words.ts', "export const words = 'first'")
  await write('prompt.md', 'kind')
  await write('agents.ts', moduleText("import { words } from './parts/words.ts'"))
  const program = runCli({ dataDir: folder.path, args: ['dev', 'agents.ts'] })
  onTestFinished(async () => {
    program.signal('SIGTERM')
    await program.exited
  })
  let starts = 0
  /** Resolves when a server says this of its agent. It may take two: the sources of Parley are looked at as well. */
  const serves = async (agent: { description: string; model?: string }) => {
    for (;;) {
      const url = await program.announced(++starts)
      const answer = await sendJson(new URL('/v1/agents/dev', url)).then(
        (response) => response.json() as Promise<Record<string, unknown>>,
        // It is ending already.
        (): Record<string, unknown> => ({}),
      )
      if (Object.entries(agent).every(([key, value]) => answer[key] === value)) return
    }
  }
  await serves({ description: 'first, kind' })
  return { program, place, write, serves }
}

test('every save starts a new server: two by renaming a new file, one in place, one by renaming the old file', async () => {
  const { place, write, serves } = await startDev()

  for (const words of ['second', 'third']) {
    await write('parts/.words', `export const words = '${words}'`)
    await rename(place('parts/.words'), place('parts/words.ts'))
    await serves({ description: `${words}, kind` })
  }

  await write('parts/words.ts', "export const words = 'fourth'")
  await serves({ description: 'fourth, kind' })

  for (const words of ['fifth', 'sixth']) {
    await rename(place('agents.ts'), place('agents.ts~'))
    await write('agents.ts', moduleText(`const words = '${words}'`))
    await serves({ description: `${words}, kind` })
  }
})

test('a folder that another one stands in the place of is looked at like the first', async () => {
  const { place, write, serves } = await startDev()
  for (const words of ['second', 'third']) {
    await mkdir(place('new'))
    await write('new/words.ts', `export const words = '${words}'`)
    await rename(place('parts'), place(`parts-before-${words}`))
    await rename(place('new'), place('parts'))
    await serves({ description: `${words}, kind` })
  }
})

test('a prompt, the settings and a file that was missing count like a module', async () => {
  const { program, write, serves } = await startDev()
  await write('prompt.md', 'short')
  await serves({ description: 'first, short' })
  await write('.env', 'LLM_BASE_URL=http://127.0.0.1:9/v1\nLLM_DEFAULT_MODEL=of-the-file')
  await serves({ description: 'first, short', model: 'of-the-file' })

  await write('agents.ts', moduleText("import { words } from './new.ts'"))
  await program.wrote(/new\.ts, which is not there.*\n[^]*starts again when a file has changed\n/)
  await write('new.ts', "export const words = 'made'")
  await serves({ description: 'made, short' })
})

test('a fault in a file is told, and the next save starts a server', async () => {
  const { program, write, serves } = await startDev()
  await write('parts/words.ts', 'export const = 1')
  await program.wrote(/words\.ts:1: .*\n[^]*starts again when a file has changed\n/)
  await write('parts/words.ts', "export const words = 'mended'")
  await serves({ description: 'mended, kind' })
})

test.each(['SIGTERM', 'SIGINT'] as const)('%s ends the server as it ends one without dev', async (signal) => {
  const { program } = await startDev()
  program.signal(signal)
  expect(await program.exited).toEqual({ code: 0, signal: null })
  expect(program.output()).toContain('"msg":"stopped"')
})

test('the server ends when dev is killed', async () => {
  const { program } = await startDev()
  program.signal('SIGKILL')
  // When nobody holds its output any more.
  await program.exited
  expect(program.output()).toContain('"msg":"stopped"')
})
