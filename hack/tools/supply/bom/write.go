package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeBOM writes BINARY.cdx.json. The same binary gives the same bytes: the only time in
// it is SOURCE_DATE_EPOCH's, seconds since 1970, and it has no time without that.
func writeBOM(binary, version string, info *debug.BuildInfo, parts []part) error {
	content, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	timestamp, err := sourceDate()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	bom := billOf(info, version, parts)
	bom.Metadata.Timestamp = timestamp
	bom.Metadata.Component.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}

	var text strings.Builder
	if err := cdx.NewBOMEncoder(&text, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return err
	}
	return os.WriteFile(binary+".cdx.json", []byte(text.String()), 0o644) // #nosec G306 -- to be published
}

// billOf lists the parts below the command that they are linked into. Which module needs
// which a binary does not tell.
func billOf(info *debug.BuildInfo, version string, parts []part) *cdx.BOM {
	command := cdx.Component{
		Type: cdx.ComponentTypeApplication, BOMRef: info.Path, Name: info.Path, Version: version,
		PackageURL: purl(info.Main.Path, version) + subpath(info),
	}
	var components []cdx.Component
	var refs []string
	for _, p := range parts {
		component := cdx.Component{
			Type: cdx.ComponentTypeLibrary, BOMRef: purl(p.path, p.version), Name: p.path, Version: p.version,
			PackageURL: purl(p.path, p.version),
			Licenses:   &cdx.Licenses{{Expression: strings.Join(p.licences, " AND ")}},
		}
		if p.sum != "" {
			component.Properties = &[]cdx.Property{{Name: "go.sum", Value: p.sum}}
		}
		components = append(components, component)
		refs = append(refs, component.BOMRef)
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &command}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: command.BOMRef, Dependencies: &refs}}
	return bom
}

// purl is a module's package URL.
func purl(path, version string) string {
	if version == "" {
		return "pkg:golang/" + path
	}
	return "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
}

// subpath is the part of a package URL that leads to a command below its module's top.
func subpath(info *debug.BuildInfo) string {
	below, found := strings.CutPrefix(info.Path, info.Main.Path+"/")
	if !found {
		return ""
	}
	return "#" + below
}

func sourceDate() (string, error) {
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		return "", nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return "", fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339), nil
}
