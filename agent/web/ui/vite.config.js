// Builds the UI into dist/, which both binaries embed. Relative URLs: <base> in index.html decides the prefix.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

const agent = process.env.VEDETTE_URL ?? 'http://127.0.0.1:9090';

export default defineConfig({
  base: './',
  plugins: [svelte()],
  resolve: { dedupe: ['@codemirror/state', '@codemirror/view', '@codemirror/language', '@lezer/common'] },
  build: { target: 'es2022', sourcemap: false, chunkSizeWarningLimit: 700 },
  server: { proxy: { '/api': agent, '/vedette': agent } },
});
