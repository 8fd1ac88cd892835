import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'examples/**/*.test.ts'],
    globalSetup: 'test/temporary-folder.ts',
    pool: 'threads',
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
})
