import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as published from '../../src/index.ts'
import * as publishedTesting from '../../src/testing/index.ts'
import { root } from './source-files.ts'

// A name that comes or goes here changes what users depend on: it belongs into the changelog.
test('the package exports these names, and no other', () => {
  expect(Object.keys(published).toSorted()).toEqual([
    'AppError',
    'DefinitionError',
    'agent',
    'askUser',
    'calculator',
    'createAskUser',
    'createParley',
    'createWebSearch',
    'demoModel',
    'denyList',
    'errorCodes',
    'eventsOf',
    'fromAiSdk',
    'httpRequest',
    'looksLikeInjection',
    'maxInput',
    'mcpTools',
    'openapiTools',
    'readPrompt',
    'redactPii',
    'redactText',
    'screenToolResults',
    'scriptedModel',
    'serve',
    'template',
    'tool',
    'webSearch',
  ])
  expect(Object.keys(publishedTesting).toSorted()).toEqual([
    'assertEvents',
    'createFakeClock',
    'createTestServer',
    'createUpstreamServer',
    'errorReply',
    'fixtureModel',
    'jsonReply',
    'recordModel',
    'replayModel',
    'scriptedModel',
    'streamReply',
  ])
})

/** The package as npm would install it, in a project of its own. The network is not asked: dependencies are links. */
describe('the published package', () => {
  let project: string
  let installed: string
  let manifest: Record<string, unknown> & {
    exports: Record<string, unknown>
    dependencies: Record<string, string>
  }

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'parley-package-'))
    const built = join(project, 'built')
    installed = join(project, 'node_modules', 'parleykit')
    await mkdir(installed, { recursive: true })
    await run(process.execPath, ['scripts/build.ts', '--out', built], root)
    const packed = await run(
      'npm',
      ['pack', '--silent', '--ignore-scripts', '--pack-destination', project],
      built,
    )
    await run('tar', ['-xzf', join(project, packed.trim()), '--strip-components=1', '-C', installed], project)
    manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')) as typeof manifest
    for (const name of [...Object.keys(manifest.dependencies), '@types/node']) await link(name)
    await writeFile(join(project, 'package.json'), JSON.stringify({ type: 'module', private: true }))
  }, 120_000)

  afterAll(() => rm(project, { recursive: true, force: true }))

  async function link(name: string): Promise<void> {
    const target = join(project, 'node_modules', name)
    await mkdir(dirname(target), { recursive: true })
    await symlink(join(root, 'node_modules', name), target)
  }

  test('holds what runs, its types and its papers, no sources and no tests', async () => {
    const files = await readdir(installed, { recursive: true })
    expect(files).toEqual(
      expect.arrayContaining(['index.js', 'index.d.ts', 'README.md', 'LICENSE', 'CHANGELOG.md']),
    )
    expect(files.filter((file) => /(?<!\.d)\.ts$|\.test\./.test(file))).toEqual([])
  })

  test('its manifest names what is there, and nothing of development', async () => {
    expect(Object.keys(manifest)).not.toEqual(expect.arrayContaining(['scripts']))
    expect(Object.keys(manifest)).not.toEqual(expect.arrayContaining(['devDependencies']))
    expect(manifest['engines']).toBeDefined()
    expect(manifest.exports).toEqual({
      '.': { types: './index.d.ts', default: './index.js' },
      './testing': { types: './testing/index.d.ts', default: './testing/index.js' },
      './package.json': './package.json',
    })
    const command = join(installed, (manifest['bin'] as { parley: string }).parley)
    expect((await readFile(command, 'utf8')).split('\n')[0]).toBe('#!/usr/bin/env node')
    expect((await stat(command)).mode & 0o111).toBe(0o111)
  })

  test('imports from plain Node under its published names', async () => {
    const script = `
      const names = (module) => Object.keys(module).toSorted()
      console.log(JSON.stringify([names(await import('parleykit')), names(await import('parleykit/testing'))]))`
    const output = await runScript(script)
    expect(JSON.parse(output)).toEqual([
      Object.keys(published).toSorted(),
      Object.keys(publishedTesting).toSorted(),
    ])
  })

  test('keeps its inner files to itself', async () => {
    const script = `
      const error = await import('parleykit/store/store.js').catch((thrown) => thrown)
      console.log(error.code)`
    expect(await runScript(script)).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED\n')
  })

  test('serves a run', async () => {
    const script = `
      import { agent, calculator, scriptedModel } from 'parleykit'
      import { createTestServer } from 'parleykit/testing'
      const model = scriptedModel([
        { toolCalls: [{ name: 'calculator', arguments: { expression: '6 * 7' } }] },
        'It is 42.',
      ])
      const server = await createTestServer({ agents: [agent({ name: 'assistant', model, tools: [calculator] })] })
      const response = await server.request('/v1/agents/assistant/runs', { method: 'POST', body: { input: '6 * 7?' } })
      console.log(JSON.stringify({ status: response.status, output: (await response.json()).output }))
      await server.close()`
    expect(JSON.parse(await runScript(script))).toEqual({ status: 200, output: 'It is 42.' })
  })

  test('its command starts, and knows its version', async () => {
    const output = await run(process.execPath, [join(installed, 'cli', 'main.js'), '--version'], project)
    expect(output.trim()).toBe(manifest['version'])
  })

  test('its types are found and hold', async () => {
    await writeFile(
      join(project, 'app.ts'),
      `import { agent, AppError, calculator, scriptedModel, tool, type Agent, type ErrorCode, type RunEvent } from 'parleykit'
       import { createFakeClock, type FakeClock } from 'parleykit/testing'
       import { z } from 'zod'
       const add = tool({ name: 'add', description: '', input: z.object({ a: z.number() }), execute: ({ a }) => a + 1 })
       export const assistant: Agent = agent({ name: 'a', model: scriptedModel(['hi']), tools: [add, calculator] })
       export const clock: FakeClock = createFakeClock()
       export const code: ErrorCode = new AppError('not_found').code
       export const typeOf = (event: RunEvent): string => event.type
       // @ts-expect-error a number is no name: proves that the types are not any
       agent({ name: 1 })
      `,
    )
    const options = {
      module: 'nodenext',
      target: 'esnext',
      strict: true,
      noEmit: true,
      types: ['node'],
      lib: ['esnext', 'dom'],
    }
    await writeFile(
      join(project, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: options, files: ['app.ts'] }),
    )
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    expect(await run(process.execPath, [compiler, '-p', project], project)).toBe('')
  })

  async function runScript(text: string): Promise<string> {
    const file = join(project, 'script.mjs')
    await writeFile(file, text)
    return run(process.execPath, ['--no-strip-types', file], project)
  }
})

/** Standard output of a command that must succeed; its whole output where it does not. */
async function run(command: string, args: string[], cwd: string): Promise<string> {
  const { NODE_OPTIONS: _ours, ...env } = process.env
  try {
    return (await promisify(execFile)(command, args, { cwd, env })).stdout
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string }
    throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}${stderr}`, { cause: error })
  }
}
