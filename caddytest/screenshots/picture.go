package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/redis-proxy/caddy-redis-proxy/caddytest/chromium"
)

// isReady is true once the page shows keys, and rates from several readings.
const isReady = `document.querySelectorAll('#next tbody tr').length >= 10 && document.querySelectorAll('#valued tbody tr').length >= 10 &&
	/in [0-9]{2} s/.test(document.getElementById('latency-note').textContent)`

func takePictures(url, dir, out string) error {
	browser, end, err := chromium.Start(dir)
	if err != nil {
		return err
	}
	defer end()
	for _, p := range []picture{
		{"dashboard-light.png", "light", 1280, 1530, 1},
		{"dashboard-dark.png", "dark", 1280, 860, 1},
		{"dashboard-phone.png", "light", 390, 1240, 1.5},
	} {
		file, err := p.take(browser, url)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if err := os.WriteFile(filepath.Join(out, p.name), file, 0o600); err != nil {
			return err
		}
		fmt.Printf("%s: %d KB\n", p.name, len(file)/1000)
	}
	return nil
}

// picture is a file with a picture of the dashboard in a browser window.
type picture struct {
	name, theme   string
	width, height int64
	scale         float64
}

// take returns the picture as a PNG.
func (p picture) take(browser context.Context, url string) ([]byte, error) {
	tab, closeTab := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	defer closeTab()
	if err := chromedp.Do(tab); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(tab, time.Minute)
	defer cancel()
	inTheme := chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: p.theme}},
		})
		return err
	})
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(p.width, p.height, chromedp.EmulateScale(p.scale)), inTheme, chromedp.Navigate(url)); err != nil {
		return nil, err
	}
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](isReady, chromedp.WithPollingInterval(100*time.Millisecond))); err != nil {
		return nil, err
	}
	captured, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return nil, err
	}
	decoded, err := png.Decode(bytes.NewReader(captured))
	if err != nil {
		return nil, err
	}
	var small bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	err = encoder.Encode(&small, inPalette(decoded))
	return small.Bytes(), err
}

// inPalette draws a picture in its 256 most frequent colours. A page has few others, so the
// file has a third of the bytes and looks the same.
func inPalette(full image.Image) image.Image {
	counts := make(map[color.RGBA]int)
	bounds := full.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[color.RGBAModel.Convert(full.At(x, y)).(color.RGBA)]++
		}
	}
	colors := slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int { return cmp.Compare(counts[b], counts[a]) })
	var palette color.Palette
	for _, c := range colors[:min(256, len(colors))] {
		palette = append(palette, c)
	}
	drawn := image.NewPaletted(bounds, palette)
	draw.Draw(drawn, bounds, full, bounds.Min, draw.Src)
	return drawn
}
