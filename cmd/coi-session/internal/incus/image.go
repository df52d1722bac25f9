package incus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	client "github.com/lxc/incus/v6/client"
	"github.com/lxc/incus/v6/shared/api"
)

// LocalImage is an image of the project with all its names.
type LocalImage struct {
	Fingerprint string
	Aliases     []string
	Size        int64 // bytes, packed
	Created     time.Time
	Properties  map[string]string
}

// Images lists the local images.
func (c *Client) Images(ctx context.Context) ([]LocalImage, error) {
	all, err := query(ctx, func() ([]api.Image, error) { return c.c.GetImages() })
	out := make([]LocalImage, 0, len(all))
	for _, i := range all {
		names := make([]string, 0, len(i.Aliases))
		for _, a := range i.Aliases {
			names = append(names, a.Name)
		}
		out = append(out, LocalImage{Fingerprint: i.Fingerprint, Aliases: names, Size: i.Size, Created: i.CreatedAt, Properties: i.Properties})
	}
	return out, err
}

// ImportImage uploads an image made of two tar archives, metadata and root file
// system, and returns its fingerprint. It has no alias yet. An image with the
// same content is no error. An upload that is cut off leaves nothing in Incus.
func (c *Client) ImportImage(ctx context.Context, meta, rootfs io.Reader, properties map[string]string) (string, error) {
	// The client takes no context for an upload: a reader that fails ends it.
	meta, rootfs = &reader{ctx, meta}, &reader{ctx, rootfs}
	return c.newImage(ctx, func() (client.Operation, error) {
		post := api.ImagesPost{ImagePut: api.ImagePut{Properties: properties}, Filename: "rootfs.tar"}
		return c.c.CreateImage(post, &client.ImageCreateArgs{
			MetaFile: meta, MetaName: "meta.tar",
			RootfsFile: rootfs, RootfsName: "rootfs.tar", Type: "container",
		})
	})
}

// PublishImage makes an image of a stopped instance and returns its
// fingerprint. compression is empty for Incus' own choice.
func (c *Client) PublishImage(ctx context.Context, instance, compression string, properties map[string]string) (string, error) {
	return c.newImage(ctx, func() (client.Operation, error) {
		return c.c.CreateImage(api.ImagesPost{
			ImagePut:             api.ImagePut{Properties: properties},
			CompressionAlgorithm: compression, Source: &api.ImagesPostSource{Type: "instance", Name: instance},
		}, nil)
	})
}

// newImage waits for an operation that makes an image. When the context ends
// first the operation is cancelled, so that nothing appears afterwards.
func (c *Client) newImage(ctx context.Context, start func() (client.Operation, error)) (string, error) {
	op, err := call(ctx, start)
	if err != nil {
		return "", err
	}
	err = op.WaitContext(ctx)
	if ctx.Err() != nil {
		_ = op.Cancel() // refused by operations that cannot be: they end by themselves
		return "", ctx.Err()
	}
	if err != nil {
		return "", classify(err)
	}
	fingerprint, _ := op.Get().Metadata["fingerprint"].(string)
	if fingerprint == "" {
		return "", errors.New("Incus named no fingerprint for the new image")
	}
	return fingerprint, nil
}

// SetAlias gives an image a name, taking it from the image that had it. The
// name exists at every moment in between.
func (c *Client) SetAlias(ctx context.Context, alias, fingerprint, description string) error {
	_, err := query(ctx, func() (struct{}, error) {
		have, tag, err := c.c.GetImageAlias(alias)
		switch {
		case err == nil && have.Target == fingerprint:
			return struct{}{}, nil
		case err == nil:
			return struct{}{}, c.c.UpdateImageAlias(alias,
				api.ImageAliasesEntryPut{Target: fingerprint, Description: description}, tag)
		case errors.Is(classify(err), ErrNotFound):
			return struct{}{}, c.c.CreateImageAlias(api.ImageAliasesPost{ImageAliasesEntry: api.ImageAliasesEntry{
				Name: alias, Type: "container", ImageAliasesEntryPut: api.ImageAliasesEntryPut{Target: fingerprint, Description: description},
			}})
		}
		return struct{}{}, err
	})
	return err
}

// DeleteAlias takes a name away; one that is gone already is no error.
func (c *Client) DeleteAlias(ctx context.Context, alias string) error {
	_, err := query(ctx, func() (struct{}, error) { return struct{}{}, c.c.DeleteImageAlias(alias) })
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// DeleteImage removes an image and all its names; one that is gone already is
// no error.
func (c *Client) DeleteImage(ctx context.Context, fingerprint string) error {
	err := operate(ctx, func() (client.Operation, error) { return c.c.DeleteImage(fingerprint) })
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// RemoteImage is an image on a server that Incus itself downloads from.
type RemoteImage struct {
	Server   string // URL
	Protocol string // simplestreams or incus
	Alias    string
}

// CopyImage lets Incus download a remote image, without a name, and returns
// its fingerprint. The image is kept like one of the user's.
func (c *Client) CopyImage(ctx context.Context, r RemoteImage) (string, error) {
	fp, err := c.newImage(ctx, func() (client.Operation, error) {
		return c.c.CreateImage(api.ImagesPost{Source: &api.ImagesPostSource{
			Type: "image", Mode: "pull",
			ImageSource: api.ImageSource{Server: r.Server, Protocol: r.Protocol, Alias: r.Alias, ImageType: "container"},
		}}, nil)
	})
	if err != nil {
		return "", fmt.Errorf("%s from %s: %w", r.Alias, r.Server, err)
	}
	return fp, nil
}

// reader fails once its context has ended.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
